"""Folding against the definition: of all points of an orbit, the nearest to the point in question."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hier.datasets.fold import SEAM, fold
from hier.datasets.lattices import draw_basis, lattice_family
from hier.datasets.orbits import Orbits, orbit, orbits
from hier.hierarchy import GROUP_NAMES, group
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
seeds = st.integers(0, 2**32 - 1)


def own(name: str, basis: Array, generic: Array) -> Orbits:
    return orbits([group(name).operations], basis[None], generic[None])


def folded(own: Orbits, points: Tensor, turns: Array | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Offsets to the nearest and to the second nearest representative, the nearest where there is no seam; weights."""
    nearest, seam, runner, weight = fold(own, points, turns)
    second, share = nearest.clone(), torch.ones_like(points[..., 0])
    second.flatten(0, 1)[seam], share.flatten()[seam] = runner, weight
    return nearest, second, share


def naive(name: str, basis: Array, generic: Array, point: Array) -> tuple[list[tuple[float, Array]], list[Array]]:
    """Every orbit point about `point`, nearest first: its distance, and the offset it stands for."""
    found, places = [], []
    at = np.linalg.solve(basis, point)
    for op in group(name).operations:
        W, w = np.array(op.W, dtype=float), np.array([float(t) for t in op.w])
        q = W @ generic + w
        for i in range(-4, 5):
            for j in range(-4, 5):
                shifted = q + np.rint(at - q) + (i, j)
                offset = basis @ np.linalg.inv(W) @ (at - shifted)
                found.append((float(np.linalg.norm(basis @ (at - shifted))), offset))
                places.append(basis @ shifted)
    order = sorted(range(len(found)), key=lambda k: found[k][0])
    return [found[k] for k in order], [places[k] for k in order]


@pytest.mark.parametrize("name", GROUP_NAMES)
def test_nearest_of_the_orbit_and_runner_up_are_those_of_a_search(name: str) -> None:
    rng = np.random.default_rng(GROUP_NAMES.index(name))
    for _ in range(3):
        basis = draw_basis(rng, lattice_family(group(name)), (300.0, 4000.0))
        generic = rng.random(2)
        o = own(name, basis, generic)
        points = rng.uniform(-150, 150, (25, 2))
        first, second, weight = folded(o, torch.from_numpy(points)[None])
        for k, point in enumerate(points):
            (nearest, runner_up, *_), (p, q, *_) = naive(name, basis, generic, point)
            np.testing.assert_allclose(first[0, k], nearest[1], atol=1e-8)
            assert nearest[0] <= o.radius[0]
            to_border = (runner_up[0] ** 2 - nearest[0] ** 2) / 2 / np.linalg.norm(p - q)
            assert float(weight[0, k]) == pytest.approx(min(0.5 + to_border / SEAM, 1), abs=1e-6)
            if float(weight[0, k]) < 1:  # else the runner-up is not read
                np.testing.assert_allclose(second[0, k], runner_up[1], atol=1e-8)


@given(st.sampled_from(GROUP_NAMES), seeds)
def test_a_point_and_its_images_fold_to_one(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    basis = draw_basis(rng, lattice_family(group(name)), (200.0, 8000.0))
    o = own(name, basis, rng.random(2))
    u = rng.uniform(-2, 2, (8, 2))
    there, _, weight = folded(o, torch.from_numpy(u @ basis.T)[None])
    clear = weight > 0.5 + 1e-6  # on a border there are two nearest
    for op in group(name).operations:
        moved = u @ np.array(op.W, dtype=float).T + [float(t) for t in op.w]
        again, _, same = folded(o, torch.from_numpy(moved @ basis.T)[None])
        torch.testing.assert_close(again[clear], there[clear], atol=1e-7, rtol=0)
        torch.testing.assert_close(same, weight, atol=1e-7, rtol=0)


@given(st.sampled_from(GROUP_NAMES), seeds)
def test_the_generic_point_folds_to_itself_and_the_domain_has_its_share_of_the_cell(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    basis, generic = draw_basis(rng, lattice_family(group(name)), (2000.0, 4000.0)), rng.random(2)
    o = own(name, basis, generic)
    home = fold(o, torch.from_numpy(basis @ generic)[None, None]).nearest
    assert float(home.abs().max()) < 1e-9
    # A point is in the domain when it folds onto its own offset; the order of the group says how often.
    points = rng.random((4000, 2))
    first = fold(o, torch.from_numpy(points @ basis.T)[None]).nearest
    offset = torch.from_numpy((points - generic) @ basis.T)
    at_home = torch.linalg.solve(torch.from_numpy(basis), (first[0] - offset).T).T
    translated = (at_home - at_home.round()).abs().amax(-1) < 1e-6
    share = 1 / group(name).order / len(group(name).centring)
    spread = (share * (1 - share) / 4000) ** 0.5
    assert float(translated.double().mean()) == pytest.approx(share, abs=5 * spread + 1e-9)


def test_orbits_of_different_sizes_share_a_batch() -> None:
    rng = np.random.default_rng(1)
    names = ("p1", "p6m", "cm")
    bases = np.stack([draw_basis(rng, lattice_family(group(n)), (900.0, 901.0)) for n in names])
    generic = rng.random((3, 2))
    together = orbits([group(n).operations for n in names], bases, generic)
    points = torch.from_numpy(rng.uniform(-90, 90, (3, 50, 2)))
    found = folded(together, points)
    for i, name in enumerate(names):
        alone = own(name, bases[i], generic[i])
        for o in (alone, together[i : i + 1], Orbits.joined([together, alone])[3:]):
            for one, all_ in zip(folded(o, points[i : i + 1]), found, strict=True):
                assert torch.equal(one[0], all_[i])


@given(st.sampled_from(GROUP_NAMES), seeds)
def test_an_orbit_of_one_is_that_of_a_batch_without_points_too_far_away(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    basis, generic = draw_basis(rng, lattice_family(group(name)), (200.0, 8000.0)), rng.random(2)
    one, batch = orbit(group(name).operations, basis, generic), own(name, basis, generic)
    assert one.radius == batch.radius[0]
    few = Orbits(one.basis[None], one.points[None], one.matrices[None], np.array([one.radius]))
    points = torch.from_numpy(rng.uniform(-200, 200, (1, 400, 2)))
    for kept, all_ in zip(folded(few, points), folded(batch, points), strict=True):
        assert torch.equal(kept, all_)


def test_turns_are_applied_to_the_offsets() -> None:
    rng = np.random.default_rng(2)
    o = own("p4g", draw_basis(rng, "square", (900.0, 901.0)), rng.random(2))
    points, turn = torch.from_numpy(rng.uniform(-90, 90, (1, 50, 2))), rng.normal(size=(1, 2, 2))
    first, second, weight = folded(o, points)
    turned = folded(o, points, turn)
    matrix = torch.from_numpy(turn).mT
    torch.testing.assert_close(turned[0], first @ matrix, atol=1e-9, rtol=0)
    torch.testing.assert_close(turned[1], second @ matrix, atol=1e-9, rtol=0)
    assert torch.equal(turned[2], weight)
