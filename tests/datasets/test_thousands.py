"""Thousands of patterns, each with its group's operations and no others; written apart from the guard's own code."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hier.datasets import SOURCES, Pattern, PatternDataset, Pool
from hier.datasets.guard import candidate_matrices
from hier.hierarchy import GROUP_NAMES
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
SIDE = 36  # grid of the cell on which all origins are tried
EACH = 20  # patterns of every group, source and construction


def read(dataset: PatternDataset, pattern: Pattern, points: Array) -> Tensor:
    free = torch.from_numpy(points).float()
    if dataset.source == "atoms":
        return dataset.look.atoms_at([pattern], free[None])[0]
    if pattern.outlines is not None:
        exact = points if pattern.tile is None else points @ np.linalg.inv(pattern.tile.stretch).T
        return torch.from_numpy(pattern.outlines.at(exact)).float()
    return dataset.look.pictures([pattern], free[None])[0]


def moved(u: Array, W: Array, w: Array) -> Array:
    return np.asarray(u @ W.T + w)


def best_correlation(cell: Tensor, W: NDArray[np.int64]) -> float:
    """Of a cell (3, SIDE, SIDE) with its image under W, at the best origin."""
    ticks = np.arange(SIDE)
    place = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), -1) @ W.T % SIDE
    turned = cell[:, place[..., 0], place[..., 1]]
    spectrum = (torch.fft.fft2(cell).conj() * torch.fft.fft2(turned)).sum(0)
    return float(torch.fft.ifft2(spectrum).real.max() / cell.square().sum())


@pytest.mark.slow
@pytest.mark.parametrize(("source", "construction"), list(product(SOURCES, ("fold", "paste"))))
def test_every_pattern_has_its_own_operations_and_no_others(source: str, construction: str, pool: Pool) -> None:
    dataset = PatternDataset(source, 404, 96, construction=construction, cells=(4, 20), pool=pool)  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    ticks = np.arange(SIDE) / SIDE
    grid = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), -1).reshape(-1, 2)
    for start in range(0, EACH * len(GROUP_NAMES), 17):
        indices = range(start, start + 17)
        for index, pattern in zip(indices, dataset.accepted(indices)[0], strict=True):
            if construction == "fold":
                u = rng.uniform(-1, 2, (40, 2))
                here = read(dataset, pattern, u @ pattern.basis.T)
                for op in pattern.operations:
                    there = moved(u, np.array(op.W, dtype=float), np.array(op.w, dtype=float))
                    off = (read(dataset, pattern, there @ pattern.basis.T) - here).abs().max()
                    assert float(off) < 2e-3, (index, op.xyz)
            basis = pattern.frame.basis
            cell = read(dataset, pattern, grid @ basis.T).reshape(3, SIDE, SIDE)
            cell = cell - cell.mean((1, 2), keepdim=True)
            metric = basis.T @ basis
            for W in candidate_matrices():
                strain = np.abs(W.T @ metric @ W - metric).max() / np.sqrt(np.linalg.det(metric))
                if strain < 0.05 and tuple(W.ravel()) not in pattern.frame.matrices:
                    assert best_correlation(cell, W) < 0.975, (index, dataset.label(index), W.tolist())
            for n in (2, 3):
                for i, j in product(range(n), repeat=2):
                    if i or j:
                        shifted = cell.roll((i * SIDE // n, j * SIDE // n), (1, 2))
                        assert float((cell * shifted).sum() / cell.square().sum()) < 0.975, index
