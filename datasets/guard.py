"""The label guard: a pattern must measurably break every operation that its group does not have.

Every minimal supergroup of a plane group has either a larger point group on the same lattice or a finer
lattice (International Tables A1). So it is enough that no matrix outside the point group maps the cell onto
itself at any origin, and that no translation by a half or a third of a lattice vector does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..hierarchy import Operation
from .lattices import reduce_bases
from .orbits import arrays, padded

GRID = 48  # points of the cell along each axis
REACH = 11  # harmonics kept along the shorter reciprocal vector
PLACES = 3 ** np.arange(4)  # a matrix of entries from -1 to 1 as one number
STRAIN = 0.12  # a matrix that changes the metric by more cannot be mistaken for a symmetry


@lru_cache(maxsize=1)
def candidate_matrices() -> NDArray[np.int64]:
    """The integer matrices of finite order with entries in {-1, 0, 1}, identity excluded: (K, 2, 2)."""
    found = []
    for entries in product((-1, 0, 1), repeat=4):
        W = np.array(entries).reshape(2, 2)
        power, order = W.copy(), 1
        while order < 6 and not (power == np.eye(2)).all():
            power, order = power @ W, order + 1
        if (power == np.eye(2)).all() and order > 1:
            found.append(W)
    return np.array(found)


@dataclass(frozen=True)
class Frame:
    """The reduced primitive cell of a set of operations: `basis` (2, 2) px, and its point matrices there."""

    basis: NDArray[np.float64]
    matrices: frozenset[tuple[int, ...]]


def frame(operations: Sequence[Operation], basis: NDArray[np.float64]) -> Frame:
    """Reduced primitive cell of `operations` given in the (perhaps larger) cell `basis` px."""
    return frames([tuple(operations)], basis[None])[0]


def frames(operations: Sequence[tuple[Operation, ...]], basis: NDArray[np.float64]) -> list[Frame]:
    """`frame` of B sets of operations, each in its own cell of `basis` (B, 2, 2) px."""
    reduced = reduce_bases(basis @ np.stack([_primitive(own) for own in operations]))
    W, _, _ = padded(operations)
    change = (np.linalg.inv(reduced) @ basis)[:, None]
    turned = np.rint(change @ W @ np.linalg.inv(change)).astype(int).reshape(*W.shape[:2], 4).tolist()
    return [Frame(own, frozenset(map(tuple, rows))) for own, rows in zip(reduced, turned, strict=True)]


@lru_cache(maxsize=512)
def _primitive(operations: tuple[Operation, ...]) -> NDArray[np.float64]:
    """Two lattice vectors that span the primitive cell, as columns in units of the cell of `operations`."""
    W, w = arrays(operations)
    steps = w[(np.eye(2) == W).all((1, 2))]
    whole = np.array(list(product((-1, 0, 1), repeat=2)), dtype=float)
    vectors = (steps[:, None] + whole[None]).reshape(-1, 2)
    vectors = vectors[np.abs(vectors).max(1) > 1e-9]
    crossed = vectors[:, None, 0] * vectors[None, :, 1] - vectors[:, None, 1] * vectors[None, :, 0]
    i, j = np.argwhere(np.isclose(np.abs(crossed), 1 / len(steps), rtol=1e-6))[0]
    return np.stack([vectors[i], vectors[j]], axis=1)


def cell_points() -> Tensor:
    """Fractional coordinates of the guard's grid: (GRID * GRID, 2), first axis along `a`."""
    ticks = torch.arange(GRID, dtype=torch.float32) / GRID
    return torch.stack(torch.meshgrid(ticks, ticks, indexing="ij"), -1).reshape(-1, 2)


def residuals(cells: Tensor, frames: Sequence[Frame]) -> Tensor:
    """How far each pattern is from its nearest extra symmetry: (B,) in [0, 1], 0 where one is exact.

    `cells` (B, C, GRID, GRID) are the patterns on the grids of their reduced primitive cells. For every
    extra operation the residual is 1 minus the correlation of the cell with its image, colours together,
    at the best origin; the mean is left out.
    """
    B, C, device = *cells.shape[:2], cells.device
    F = torch.fft.fft2(cells).flatten(2)
    h, k = _harmonics().to(device)
    dual = torch.from_numpy(np.stack([np.linalg.inv(f.basis) for f in frames])).float().to(device)
    q = torch.einsum("xi,bij->bxj", torch.stack([h, k], -1), dual).norm(dim=-1)
    shortest = torch.stack([dual[:, 0].norm(dim=-1), dual[:, 1].norm(dim=-1)]).amin(0)
    F = F * ((q < REACH * shortest[:, None]) & (q > 0))[:, None]
    powers = torch.view_as_real(F).square().sum((1, 3))
    power = powers.sum(1).clamp_min(1e-12)

    worst = torch.zeros(B, device=device)
    # every pattern with every matrix that might be a symmetry of it, all at once
    pattern, matrix = (torch.from_numpy(t).to(device) for t in np.nonzero(_extra(frames)))
    if len(pattern):
        place = _moved().to(device).index_select(0, matrix) + (C * GRID**2 * pattern)[:, None]
        channel = (GRID**2 * torch.arange(C, device=device))[:, None]
        image = F.flatten().index_select(0, (place[:, None] + channel).flatten()).reshape(-1, C, GRID**2)
        summed = (F.index_select(0, pattern) * image.conj()).sum(1).unflatten(1, (GRID, GRID))
        best = torch.fft.ifft2(summed).real.flatten(1).amax(1) * GRID**2 / power.index_select(0, pattern)
        worst.scatter_reduce_(0, pattern, best, "amax")
    parts = [(i / n, j / n) for n in (2, 3) for i in range(n) for j in range(n) if i or j]
    waves = torch.stack([torch.cos(2 * torch.pi * (h * x + k * y)) for x, y in parts])
    finer = (powers[:, None] * waves).sum(-1).amax(-1) / power
    return 1 - torch.maximum(worst, finer).clamp(0, 1)


def _harmonics() -> Tensor:
    """Both indices of the coefficients of a transform: (2, GRID * GRID)."""
    h = torch.fft.fftfreq(GRID, 1 / GRID)
    return torch.stack([h.repeat_interleave(GRID), h.repeat(GRID)])


@cache
def _moved() -> Tensor:
    """Where each candidate matrix sends each coefficient: (K, GRID * GRID). On the CPU: CUDA multiplies no integers."""
    hk = _harmonics().T.long()
    index = (hk @ torch.from_numpy(candidate_matrices())) % GRID
    return index[..., 0] * GRID + index[..., 1]


def _extra(frames: Sequence[Frame]) -> NDArray[np.bool_]:
    """Which candidate matrices roughly preserve the metric of each frame and are not its own: (B, K)."""
    W = candidate_matrices()
    bases = np.stack([f.basis for f in frames])
    metric = bases.transpose(0, 2, 1) @ bases
    change = np.abs(W.transpose(0, 2, 1) @ metric[:, None] @ W - metric[:, None]).max((2, 3))
    strain = change / np.sqrt(np.linalg.det(metric))[:, None]
    own = np.zeros((len(frames), 3**4), dtype=bool)
    pairs = [(i, matrix) for i, f in enumerate(frames) for matrix in f.matrices]
    which, entries = np.array([i for i, _ in pairs]), np.array([matrix for _, matrix in pairs])
    small = np.abs(entries).max(1) <= 1  # as all candidates are
    own[which[small], (entries[small] + 1) @ PLACES] = True
    extra: NDArray[np.bool_] = (strain < STRAIN) & ~own[:, (W.reshape(-1, 4) + 1) @ PLACES]
    return extra
