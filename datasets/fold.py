"""Patterns by folding: every point is moved to the one member of its orbit nearest to a generic point.

For a generic point p the points nearer to p than to any of its images form the Dirichlet cell, which is a
fundamental domain of the group (Coxeter and Moser, Generators and Relations for Discrete Groups, ch. 4).
Reading a source at the folded point gives an image with exactly the group's symmetry, whatever the source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..hierarchy import Operation
from .lattices import reduce_basis

SEAM = 1.0  # px: width of the blend across a domain's border that is no mirror
TILES = 64, 16  # of the cell along each axis, each with its own short list of orbit points, for many and few points
FEW = 10_000


@dataclass(frozen=True)
class Orbit:
    """Orbit points of a generic point near the origin's cell, and the operations that lead back.

    Lengths in px. `points` (Q, 2) with the generic point itself subtracted from nothing: plain positions
    relative to the pattern's origin; `matrices` (Q, 2, 2) turn an offset from the orbit point into the
    offset from the generic point.
    """

    basis: NDArray[np.float64]
    points: NDArray[np.float64]
    matrices: NDArray[np.float64]
    radius: float


def orbit(operations: Sequence[Operation], basis: NDArray[np.float64], generic: NDArray[np.float64]) -> Orbit:
    """Orbit of the fractional point `generic` (2,) under `operations` of the cell `basis` (2, 2), in px.

    Only the points that can be nearest or second nearest (within the seam) to some point of the reduced
    cell are kept: q is dropped when it is farther than the nearest by more than twice the spacing of a
    probing grid plus the seam everywhere on that grid (triangle inequality).
    """
    reduced, _ = reduce_basis(basis)
    to_px, from_px = basis, np.linalg.inv(basis)
    W = np.array([op.W for op in operations], dtype=np.float64)
    w = np.array([[float(t) for t in op.w] for op in operations])
    q = (W @ generic + w) @ to_px.T
    u = q @ np.linalg.inv(reduced).T
    q = (u - np.rint(u)) @ reduced.T
    shifts = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)], dtype=np.float64) @ reduced.T
    points = (q[:, None] + shifts[None]).reshape(-1, 2)
    inverse = to_px @ np.linalg.inv(W) @ from_px
    matrices = np.repeat(inverse, len(shifts), axis=0)

    n = 24
    ticks = (np.arange(n) + 0.5) / n - 0.5
    grid = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), -1).reshape(-1, 2) @ reduced.T
    spacing = 0.5 / n * max(np.linalg.norm(reduced @ s) for s in ((1, 1), (1, -1)))
    distance = np.linalg.norm(grid[:, None] - points[None], axis=-1)
    nearest = distance.min(axis=1)
    keep = (distance - nearest[:, None]).min(axis=0) <= 2 * spacing + 2 * SEAM
    return Orbit(reduced, points[keep], matrices[keep], float(nearest.max() + spacing))


def fold(orbits: Sequence[Orbit], points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Fold `points` (B, P, 2) px, relative to each pattern's origin, into the domain of its generic point.

    Returns the offsets from the generic point to the nearest and to the second nearest representative,
    both (B, P, 2) px, and the weight of the first (B, P) in [0.5, 1]: the two are blended within half a
    seam of their border, a rule that every operation of the group leaves alone.
    """
    device, dtype = points.device, points.dtype
    count = max(len(o.points) for o in orbits)
    q = torch.full((len(orbits), count, 2), 1e6, dtype=dtype)
    back = torch.zeros((len(orbits), count, 2, 2), dtype=dtype)
    for i, o in enumerate(orbits):
        q[i, : len(o.points)] = torch.from_numpy(o.points).to(dtype)
        back[i, : len(o.points)] = torch.from_numpy(o.matrices).to(dtype)
    basis = torch.from_numpy(np.stack([o.basis for o in orbits])).to(dtype)
    q, back, basis = q.to(device), back.to(device), basis.to(device)
    u = times(torch.linalg.inv(basis), points)
    u = u - u.round()
    x = times(basis, u)

    flat_x, flat_q = x.reshape(-1, 2), q.reshape(-1, 2)
    tiles = TILES[points.shape[1] <= FEW]
    listed, length = _nearby(q, basis, tiles)
    tile = _tile(u, tiles) + tiles**2 * torch.arange(len(orbits), device=device)[:, None]
    tile = tile.flatten()
    first_at = listed[:, 0].take(tile)
    qx, qy = flat_q.T.contiguous()
    px, py = flat_x.T.contiguous()
    border = (length.take(tile) > 1).nonzero().flatten()
    # from here on only pixels that more than one orbit point may claim
    bx, by, tile = px.take(border), py.take(border), tile.take(border)
    count_ = length.take(tile)
    one_at = first_at.take(border)
    one = (bx - qx.take(one_at)).square() + (by - qy.take(one_at)).square()
    two, two_at = torch.full_like(one, torch.inf), one_at
    for k in range(1, listed.shape[1]):
        at = listed[:, k].take(tile)
        d = (bx - qx.take(at)).square() + (by - qy.take(at)).square()
        d = torch.where(count_ > k, d, torch.inf)
        nearer, runner_up = d < one, d < two
        two = torch.where(nearer, one, torch.where(runner_up, d, two))
        two_at = torch.where(nearer, one_at, torch.where(runner_up, at, two_at))
        one = torch.where(nearer, d, one)
        one_at = torch.where(nearer, at, one_at)
    first_at[border] = one_at
    apart = (flat_q.index_select(0, one_at) - flat_q.index_select(0, two_at)).norm(dim=-1)
    weight = torch.ones_like(px)
    weight[border] = (0.5 + (two - one) / (2 * apart) / SEAM).clamp(0.5, 1.0).nan_to_num(1.0)

    m = back.reshape(-1, 4).T.contiguous()

    def offsets(x: Tensor, y: Tensor, at: Tensor) -> Tensor:
        vx, vy = x - qx.take(at), y - qy.take(at)
        return torch.stack([m[0].take(at) * vx + m[1].take(at) * vy, m[2].take(at) * vx + m[3].take(at) * vy], -1)

    nearest = offsets(px, py, first_at)
    runner = nearest.clone()
    runner[border] = offsets(bx, by, two_at)
    return nearest.reshape(x.shape), runner.reshape(x.shape), weight.reshape(x.shape[:2])


def times(matrices: Tensor, vectors: Tensor) -> Tensor:
    """Matrices (B, 2, 2) times vectors (B, P, 2); several times faster than a product of such thin matrices."""
    m, (x, y) = matrices[:, None], vectors.unbind(-1)
    rows = [m[..., i, 0] * x + m[..., i, 1] * y for i in (0, 1)]
    return torch.stack(rows, -1)


def _tile(u: Tensor, tiles: int) -> Tensor:
    """Number of the tile of fractional coordinates (..., 2) in [-0.5, 0.5]."""
    i = ((u + 0.5) * tiles).long().clamp(0, tiles - 1)
    return i[..., 0] * tiles + i[..., 1]


def _nearby(q: Tensor, basis: Tensor, tiles: int) -> tuple[Tensor, Tensor]:
    """Which orbit points can be nearest, or within the seam of it, anywhere in each tile of the reduced cell.

    Orbit points (B, Q, 2) px to indices into the flattened (B * Q,) points, in order, (B * tiles**2, longest list),
    and the lists' lengths. A point is left out when its distance from the tile's middle exceeds the least one by more
    than the tile's diameter and the seam (triangle inequality).
    """
    ticks = (torch.arange(tiles, device=q.device, dtype=q.dtype) + 0.5) / tiles - 0.5
    middle = torch.stack(torch.meshgrid(ticks, ticks, indexing="ij"), -1).reshape(-1, 2)
    diagonals = basis @ basis.new_tensor([[1.0, 1.0], [1.0, -1.0]])
    diameter = diagonals.norm(dim=1).amax(-1) / tiles
    distance = torch.cdist(torch.einsum("bij,tj->bti", basis, middle), q)
    limit = distance.amin(-1) + (diameter + SEAM)[:, None] + 1e-3
    near = (distance <= limit[..., None]).flatten(0, 1)
    length = near.sum(-1)
    at, which = near.nonzero().unbind(-1)
    rank = torch.arange(len(at), device=q.device) - (length.cumsum(0) - length)[at]
    listed = near.new_zeros((len(near), int(length.max())), dtype=torch.int64)
    listed[at, rank] = which
    return listed + q.shape[1] * (torch.arange(len(near), device=q.device) // tiles**2)[:, None], length
