"""Scores of whole groups: against the slow placement in double precision, and what they must not depend on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hier.datasets import PatternDataset
from hier.hierarchy import GROUP_NAMES, group, is_subgroup
from hier.models.evidence.groups import (
    GROUPS,
    MOST,
    ORDERS,
    GroupScores,
    all_misfits,
    group_scores,
    highest_within,
)
from hier.models.evidence.lattice import find_lattice, reduce_basis
from hier.models.evidence.structure import structure_factors
from hier.models.placing.operations import place
from hypothesis import given, settings
from hypothesis import strategies as st


def scores(images: torch.Tensor) -> tuple[GroupScores, torch.Tensor]:
    lattice = find_lattice(images)
    return group_scores(structure_factors(images, lattice.basis), lattice.basis), lattice.basis


@pytest.mark.parametrize("source", ["atoms", "noise"])
def test_as_the_placement_in_double_precision(source: str) -> None:
    images = PatternDataset(source, 41, 160).batch(range(17))  # type: ignore[arg-type]
    lattice = find_lattice(images)
    structure = structure_factors(images, lattice.basis)
    found = group_scores(structure, lattice.basis)
    compared = 0
    for i in range(17):
        basis = lattice.basis[i].double().numpy()
        for k, name in enumerate(GROUPS):
            if found.lowest[i, k].isnan():
                continue
            placed = place(structure, basis, name, i)
            mean = np.mean([h.score for h in placed.holdings])
            if min(h.score for h in placed.holdings) > 0:  # placements clip negative correlations
                assert float(found.mean[i, k]) == pytest.approx(mean, abs=5e-3)
            if mean > 0.7:  # elsewhere several origins are about equally bad
                assert max(float(found.lowest[i, k]), 0) == pytest.approx(placed.score, abs=5e-3)
                compared += 1
    assert compared > 40


def test_the_group_that_a_pattern_was_made_with_holds_and_no_larger_one_does() -> None:
    dataset = PatternDataset("noise", 42, 160)
    images = dataset.batch(range(34))
    patterns, _ = dataset.accepted(range(34))
    basis = reduce_basis(torch.from_numpy(np.stack([p.frame.basis for p in patterns])).float())
    misfits = all_misfits(group_scores(structure_factors(images, basis), basis))
    for i in range(34):
        own = dataset.label(i)
        for name, misfit in zip(GROUP_NAMES, misfits[i].tolist(), strict=True):
            if name == own:
                assert misfit < 0.02, (own, name, misfit)
            elif ORDERS[GROUP_NAMES.index(name)] > ORDERS[GROUP_NAMES.index(own)]:
                assert misfit > 0.04, (own, name, misfit)
        assert GROUP_NAMES[int(highest_within(misfits[i], torch.tensor(0.03)))] == own


@settings(max_examples=40, deadline=None)
@given(x=st.integers(-40, 40), y=st.integers(-40, 40), turn=st.booleans(), seed=st.integers(0, 100))
def test_neither_origin_nor_quarter_turns_nor_contrast_matter(x: int, y: int, turn: bool, seed: int) -> None:
    tile = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(seed))
    tile = tile + tile.flip(3)
    image = tile.repeat(1, 1, 8, 8)
    moved = torch.roll(image, (y, x), (2, 3))
    moved = 3 - 2 * (moved.rot90(1, (2, 3)) if turn else moved)
    one, two = scores(image)[0], scores(moved)[0]
    torch.testing.assert_close(one.mean, two.mean, atol=1e-2, rtol=0, equal_nan=True)
    holds = one.mean > 0.7  # elsewhere several origins are about equally bad, and their worst operations differ
    torch.testing.assert_close(one.lowest[holds], two.lowest[holds], atol=1e-2, rtol=0)
    assert float(one.lowest[0, GROUPS.index("pm")]) > 0.999


@pytest.mark.parametrize("seed", range(12))
def test_an_exact_mirror_of_small_cells_holds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    width, height = (int(v) for v in rng.integers(5, 19, 2))
    tile = rng.random((height, width))
    tile = tile + tile[:, ::-1]
    image = torch.from_numpy(np.tile(tile, (240 // height + 1, 240 // width + 1))[:240, :240]).float()[None, None]
    found, basis = scores(image)
    assert float(torch.linalg.det(basis[0]).abs()) == pytest.approx(width * height, rel=0.01)
    assert float(found.lowest[0, GROUPS.index("pm")]) > 0.99


def test_rings_tell_coarse_from_fine_deviations() -> None:
    """A mirror of the coarse detail only correlates well in the first ring and badly in the last."""
    u = torch.arange(256) / 32 * 2 * torch.pi
    x, y = torch.meshgrid(u, u, indexing="xy")
    coarse = x.cos() + y.cos() + (x + y).cos() + (x - y).cos() + 0.5 * (2 * y + 0.7).cos()
    fine = 0.3 * (9 * x + y + 1).cos() + 0.3 * (9 * x + 3 * y + 2).cos()
    found, _ = scores((coarse + fine)[None, None])
    rings = found.rings[0, GROUPS.index("pm")]
    assert float(rings[0]) > 0.99
    assert float(rings[-1]) < 0.5


def test_a_metric_that_is_not_the_groups_has_no_score() -> None:
    found, _ = scores(PatternDataset("noise", 3, 160, groups=("p2",)).batch([0]))
    hexagonal = [GROUPS.index(name) for name in ("p3", "p3m1", "p31m", "p6", "p6m")]
    for k in hexagonal:
        if float(found.strain[0, k]) >= 0.15:
            assert found.lowest[0, k].isnan()
    assert (found.misfits[0][found.lowest[0].isnan()] == torch.inf).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 2), min_size=16, max_size=16), st.floats(0.001, 0.9), st.floats(0.001, 0.9))
def test_who_forgives_more_finds_no_fewer_operations(values: list[float], one: float, two: float) -> None:
    misfits = torch.tensor([0.0, *values])
    low, high = sorted((one, two))
    first, second = (int(highest_within(misfits, torch.tensor(t))) for t in (low, high))
    assert ORDERS[second] >= ORDERS[first]
    assert float(misfits[first]) <= low + 1e-6
    # a naive reading of the same rule
    holding = [(-ORDERS[k], float(misfits[k]), k) for k in range(17) if float(misfits[k]) <= torch.tensor(low)]
    assert ORDERS[first] == -min(holding)[0]
    assert float(misfits[first]) == pytest.approx(min(holding)[1], abs=1e-4)


def test_misfits_of_every_lattice_are_those_of_subgroups_at_most() -> None:
    """On exact patterns every subgroup on the same lattice holds too."""
    dataset = PatternDataset("atoms", 44, 160)
    found, _ = scores(dataset.batch(range(17)))
    for i in range(17):
        own = dataset.label(i)
        for k, name in enumerate(GROUPS):
            if own != "p1" and name != own and is_subgroup(name, own) and found.misfits[i, k] < MOST:
                same = group(name).centred == group(own).centred and not ({name, own} & {"pm", "pg", "cm"})
                if same and name in ("p2", "p3", "p4", "p6"):
                    assert float(found.misfits[i, k]) <= float(found.misfits[i, GROUPS.index(own)]) + 0.01
