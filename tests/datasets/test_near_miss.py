"""Near misses: they come near their supergroup, by an amount known beforehand, and break it all the same."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from hier.datasets import PatternDataset, Pool
from hier.datasets.atoms import draw_atoms, multiplicities
from hier.datasets.near_miss import draw_near_miss, set_apart
from hier.datasets.pictures import pictures_at
from hier.hierarchy import GROUP_NAMES, is_subgroup
from numpy.typing import NDArray

GRID = 24  # points of the cell along each axis: halves, thirds and quarters of it fall on them


def residual(dataset: PatternDataset, index: int) -> tuple[float, float, float]:
    """How far a pattern is from its supergroup, and from its own group; and the supergroup's weight in it.

    1 minus the least correlation of the cell with its image under the operations about the pattern's own origin.
    """
    pattern = dataset.draw(index, 0)
    assert pattern.near_miss is not None
    ticks = np.stack(np.meshgrid(*[np.arange(GRID)] * 2, indexing="ij"), -1).reshape(-1, 2)
    points = torch.from_numpy(ticks / GRID @ pattern.basis.T).float()[None]
    cell = (
        pictures_at([pattern], points, dataset.pool if dataset.source == "photos" else None)[0]
        .numpy()
        .astype(np.float64)
    )
    cell = cell - cell.mean(1, keepdims=True)

    def broken(operations: tuple[object, ...]) -> float:
        moved = []
        for op in operations:
            shift = GRID * np.array([float(t) for t in op.w])  # type: ignore[attr-defined]
            at = np.rint(ticks @ np.array(op.W).T + shift).astype(int) % GRID  # type: ignore[attr-defined]
            moved.append((cell * cell[:, at[:, 0] * GRID + at[:, 1]]).sum() / (cell**2).sum())
        return 1 - float(min(moved))

    return broken(pattern.near_miss.parent), broken(pattern.operations), pattern.near_miss.share


@cache
def measured(source: str, pool: Pool) -> NDArray[np.float64]:
    """Rows of (residual to the supergroup, to the own group, share) of four near misses of each group."""
    dataset = PatternDataset(source, 61, 64, cells=(4, 9), near_misses=1.0, pool=pool)  # type: ignore[arg-type]
    return np.array([residual(dataset, i) for i in range(4 * len(GROUP_NAMES))])


@pytest.mark.parametrize("source", ["photos", "noise"])
def test_a_near_miss_is_near_its_supergroup_and_breaks_it(source: str, pool: Pool) -> None:
    """A mix of weights s and 1 - s of patterns alike in contrast keeps s^2 / (s^2 + (1 - s)^2) of its variance."""
    to_supergroup, to_own, share = measured(source, pool).T
    assert to_own.max() < 1e-3, "it has its own group exactly"
    assert to_supergroup.min() > 1e-3, "and breaks the supergroup"
    expected = (1 - share) ** 2 / (share**2 + (1 - share) ** 2)
    assert np.median(to_supergroup / expected) == pytest.approx(1, abs=0.45)
    assert np.corrcoef(np.log(expected), np.log(to_supergroup))[0, 1] > 0.65, (
        "the nearer the more the supergroup weighs"
    )
    assert np.median(to_supergroup) < 0.5, "most of what is seen has the supergroup"


@pytest.mark.parametrize("name", GROUP_NAMES)
def test_shares_lie_between_two_fifths_and_nine_tenths(name: str) -> None:
    """Less would be no near miss, more could not be told from the supergroup."""
    rng = np.random.default_rng(3)
    drawn = [draw_near_miss(rng, name) for _ in range(200)]
    shares = np.array([miss.share for miss in drawn])
    assert 0.4 <= shares.min() < 0.45
    assert 0.85 < shares.max() <= 0.92
    for miss in drawn:
        assert set(miss.operations) < set(miss.parent)
        assert is_subgroup(name, miss.supergroup)


def test_the_guard_finds_near_misses_nearer_to_a_supergroup_than_other_patterns(pool: Pool) -> None:
    plain, near = (PatternDataset("noise", 62, 64, cells=(4, 9), near_misses=share, pool=pool) for share in (0.0, 1.0))
    far, close = (d.clearance([d.draw(i, 0) for i in range(51)]) for d in (plain, near))
    assert float(close.median()) < 0.6 * float(far.median())
    patterns, _ = near.accepted(range(17))
    assert float(near.clearance(patterns).min()) >= near.margin, "what is too near is drawn again"


@pytest.mark.parametrize("name", GROUP_NAMES)
def test_atoms_set_apart_keep_every_operation_of_their_group(name: str) -> None:
    """Each atom is met by an atom of its own site, in the middle of the view."""
    dataset = PatternDataset("atoms", 63, 128, groups=(name,), cells=(6, 12), near_misses=1.0)
    for index in range(6):
        pattern = dataset.draw(index, 0)
        at, site = pattern.spots(np.array([-90.0, -90.0]), np.array([90.0, 90.0]))
        u = np.linalg.solve(pattern.basis, at.T)
        for op in pattern.operations:
            image = (pattern.basis @ (np.array(op.W) @ u + np.array(op.w, dtype=float)[:, None])).T
            middle = (np.abs(image) < 60).all(1)
            for q, s in zip(image[middle], site[middle], strict=True):
                assert np.linalg.norm(at[site == s] - q, axis=1).min() < 1e-6


def test_atoms_set_apart_come_nearer_to_a_larger_group_than_others() -> None:
    plain, near = (PatternDataset("atoms", 64, 128, near_misses=share) for share in (0.0, 1.0))
    far, close = (d.clearance([d.draw(i, 0) for i in range(68)]) for d in (plain, near))
    assert int((close > 0.02).sum()) > 30, "most of them do break it"
    assert float(close[close > 0.02].median()) < 0.6 * float(far[far > 0.02].median())


def test_an_atom_on_an_axis_or_mirror_stays_on_it_when_it_is_set_apart() -> None:
    """A site is one atom before and after: off a mirror it would be two."""
    rng = np.random.default_rng(4)
    for _ in range(40):
        miss = draw_near_miss(rng, "pmm")
        basis = np.array([[30.0, 0.0], [0.0, 40.0]])
        atoms = draw_atoms(rng, miss.parent, 1200.0)
        apart = set_apart(rng, atoms, miss, basis)
        count = multiplicities(miss.operations, apart.sites).sum()
        assert count == multiplicities(miss.parent, atoms.sites).sum()
        assert len(apart.widths) == len(apart.colours) == len(apart.sites) >= len(atoms.sites)
