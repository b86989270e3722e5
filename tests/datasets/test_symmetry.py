"""Every pattern has exactly the symmetry of its label: checked on the pattern, not on pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from hier.datasets import SOURCES, Pattern, PatternDataset, Pool
from hier.datasets.guard import GRID, candidate_matrices, frame, residuals
from hier.datasets.outlines import Outlines, draw_outlines
from hier.datasets.pictures import halved_pictures
from hier.hierarchy import GROUP_NAMES, Operation, group, in_supercell, maximal_subgroups
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
Reading = Callable[[Array], Tensor]
SIDE = 18  # of the grid on which all origins are tried


@pytest.fixture(scope="module", params=product(SOURCES, ("fold", "paste")), ids="-".join)
def either(request: pytest.FixtureRequest, pool: Pool) -> PatternDataset:
    source, construction = request.param
    return PatternDataset(source, 11, 96, construction=construction, cells=(4, 20), pool=pool)


@pytest.fixture(scope="module")
def all_patterns(either: PatternDataset) -> list[Pattern]:
    return either.accepted(range(len(GROUP_NAMES)))[0]


@pytest.fixture(scope="module", params=SOURCES)
def dataset(request: pytest.FixtureRequest, pool: Pool) -> PatternDataset:
    return PatternDataset(request.param, seed=11, size=96, cells=(4, 20), pool=pool)


@pytest.fixture(scope="module")
def patterns(dataset: PatternDataset) -> list[Pattern]:
    return dataset.accepted(range(len(GROUP_NAMES)))[0]


def reading(dataset: PatternDataset, pattern: Pattern) -> Reading:
    """The pattern (3, P) at free points (P, 2) px relative to its origin."""

    def at(points: Array) -> Tensor:
        free = torch.from_numpy(points).float()
        if dataset.source == "atoms":
            return dataset.look.atoms_at([pattern], free[None])[0]
        if pattern.outlines is not None:
            exact = points if pattern.tile is None else points @ np.linalg.inv(pattern.tile.stretch).T
            return torch.from_numpy(pattern.outlines.at(exact)).float()
        return dataset.look.pictures([pattern], free[None])[0]

    return at


def move(op: Operation, u: Array) -> Array:
    return u @ np.array(op.W, dtype=float).T + [float(t) for t in op.w]


@pytest.mark.parametrize("name", GROUP_NAMES)
def test_the_pattern_is_invariant_under_its_group(dataset: PatternDataset, patterns: list[Pattern], name: str) -> None:
    pattern = patterns[GROUP_NAMES.index(name)]
    read = reading(dataset, pattern)
    u = np.random.default_rng(0).uniform(-1, 2, (200, 2))
    here = read(u @ pattern.basis.T)
    assert set(group(name).operations) == set(pattern.operations)
    assert float(here.std()) > 0.02
    for op in (*pattern.operations, *group(name).generators):
        there = read(move(op, u) @ pattern.basis.T)
        assert float((there - here).abs().max()) < 1e-3, op.xyz


@pytest.mark.parametrize("name", GROUP_NAMES)
def test_the_pattern_has_no_symmetry_besides(either: PatternDataset, all_patterns: list[Pattern], name: str) -> None:
    """Matrices that the lattice has and the group has not, about every origin; and finer lattices."""
    pattern = all_patterns[GROUP_NAMES.index(name)]
    basis = pattern.frame.basis
    ticks = np.arange(SIDE) / SIDE
    u = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), -1).reshape(-1, 2)
    cell = reading(either, pattern)(u @ basis.T).numpy()
    cell = cell - cell.mean(1, keepdims=True)
    place = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij"), -1).reshape(-1, 2)

    def highest(W: Array, shifts: Array) -> float:
        """Best correlation of the cell with itself moved by W and one of the shifts (grid steps)."""
        moved = (place @ W.T)[None] + shifts[:, None]
        index = (moved % SIDE).astype(int) @ (SIDE, 1)
        return float(np.einsum("cx,csx->s", cell, cell[:, index]).max() / (cell**2).sum())

    rounded = pattern.tile is not None and not np.allclose(pattern.tile.stretch, np.eye(2))
    before = np.linalg.inv(pattern.tile.stretch) @ basis if pattern.tile is not None else basis
    metric = before.T @ before
    for W in candidate_matrices():
        if np.allclose(W.T @ metric @ W, metric, atol=1e-6 * metric.max()):
            if tuple(W.ravel()) in pattern.frame.matrices:
                # What whole pixels leave of a hexagonal group is measured in test_paste.
                assert highest(W, place) > (0.4 if rounded else 0.999), W
            else:
                assert highest(W, place) < 0.97, W
    for n in (2, 3):
        parts = np.array([s for s in product(range(n), repeat=2) if any(s)]) * (SIDE // n)
        assert highest(np.eye(2), parts) < 0.97, n
    assert len(pattern.frame.matrices) == group(name).order


def guarded(rng: np.random.Generator, operations: Sequence[Operation], basis: Array) -> Outlines:
    """The first drawing that the guard accepts: a line between special positions may have a supergroup."""
    own = frame(operations, basis)
    drawings = (draw_outlines(rng, operations, basis, own.basis) for _ in range(60))
    return next(d for d in drawings if residuals(torch.from_numpy(d.cell(GRID))[None], [own]) > 0.05)


@pytest.mark.parametrize("name", GROUP_NAMES)
def test_operations_of_minimal_supergroups_change_the_pattern(dataset: PatternDataset, name: str) -> None:
    """A pattern of the group in the setting of each supergroup, under what that has besides."""
    seen, rng = set(), np.random.default_rng(2)
    for parent in GROUP_NAMES:
        for sub in maximal_subgroups(parent):
            if sub.name != name or (parent, sub.kind, sub.index) in seen:
                continue
            seen.add((parent, sub.kind, sub.index))
            more = set(in_supercell(group(parent).operations, sub.cell)) - set(sub.operations)
            pattern = dataset.draw(GROUP_NAMES.index(name) + 17 * len(seen), 0)
            basis = PatternDataset("noise", 3, groups=(parent,)).draw(len(seen), 0).basis @ np.array(sub.cell)
            pattern = replace(pattern, operations=sub.operations, basis=basis)
            if dataset.source == "outlines":
                pattern = replace(pattern, outlines=guarded(rng, sub.operations, basis))
            read = reading(dataset, pattern)
            u = np.random.default_rng(1).uniform(0, 1, (150, 2))
            here = read(u @ basis.T)
            for op in sub.operations[:4]:
                assert float((read(move(op, u) @ basis.T) - here).abs().max()) < 1e-3, (parent, op.xyz)
            for op in more:
                changed = (read(move(op, u) @ basis.T) - here).square().mean().sqrt()
                assert float(changed) > 0.05 * float(here.std()), (parent, op.xyz)
    assert seen


def test_pictures_read_together_are_those_read_one_by_one(pool: Pool) -> None:
    dataset = PatternDataset("photos", 4, 96, pool=pool)
    some = [dataset.draw(i, 0) for i in range(6)]
    level = torch.tensor([2, 0, 1, 0, 2, 2])
    one_by_one = [p for _, p in halved_pictures(some, level, pool, torch.device("cpu"), together=False)]
    for chosen, stack in halved_pictures(some, level, pool, torch.device("cpu"), together=True):
        assert not isinstance(chosen, slice)
        for i, picture in zip(chosen.tolist(), stack, strict=True):
            assert torch.equal(picture, one_by_one[i][0])
