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

SEAM = 1.0  # px: width of the blend across a domain's border that is not a mirror
TILES = 48, 16  # of the cell along each axis, each with its own short list of orbit points, for many and few points
FEW = 10_000


@dataclass(frozen=True)
class Orbit:
    """Orbit points of a generic point near the origin's cell, and the operations that lead back.

    Lengths in px. `points` (Q, 2), positions relative to the pattern's origin (the generic point is not
    subtracted); `matrices` (Q, 2, 2) turn an offset from the orbit point into the
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
    reduced = reduce_basis(basis)
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
    squared = (grid**2).sum(1)[:, None] - 2 * grid @ points.T + (points**2).sum(1)
    distance = np.sqrt(squared.clip(0))
    nearest = distance.min(axis=1)
    keep = (distance - nearest[:, None]).min(axis=0) <= 2 * spacing + 2 * SEAM
    return Orbit(reduced, points[keep], matrices[keep], float(nearest.max() + spacing))


def fold(orbits: Sequence[Orbit], points: Tensor, turns: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Fold `points` (B, P, 2) px, relative to each pattern's origin, into the domain of its generic point.

    Returns the offsets from the generic point to the nearest and to the second nearest representative,
    both (B, P, 2) px, and the weight of the first (B, P) in [0.5, 1]: the two are blended within half a
    seam of their border, a rule that every operation of the group leaves unchanged. `turns` (B, 2, 2) are applied to
    the offsets.
    """
    device, dtype = points.device, points.dtype
    q, back, basis = (x.to(device, dtype) for x in _padded(orbits))
    inverse = torch.linalg.inv(basis)[..., None]
    x, y = points.unbind(-1)
    u = inverse[:, 0, 0] * x + inverse[:, 0, 1] * y
    v = inverse[:, 1, 0] * x + inverse[:, 1, 1] * y
    u, v = u - u.round(), v - v.round()
    cell = basis[..., None]
    px, py = (cell[:, i, 0] * u + cell[:, i, 1] * v for i in (0, 1))
    px, py = px.flatten(), py.flatten()

    flat_q = q.reshape(-1, 2)
    tiles = TILES[points.shape[1] <= FEW]
    listed, length = _nearby(q, basis, tiles)
    i, j = (((t + 0.5) * tiles).floor_().clamp_(0, tiles - 1) for t in (u, v))
    tile = ((i * tiles + j).long() + tiles**2 * torch.arange(len(orbits), device=device)[:, None]).flatten()
    first_at = torch.where(length > 1, -1, listed[:, 0]).take(tile)
    border = (first_at < 0).nonzero().flatten()
    # from here on only pixels that more than one orbit point may claim
    bx, by, tile = px.take(border), py.take(border), tile.take(border)
    one_at, two_at, one, two = _two_nearest(bx, by, flat_q, listed, length, tile)
    first_at[border] = one_at
    # the points are at most the sum of their distances apart, so that no seam is wider than this
    seam = (two.sqrt() - one.sqrt() < SEAM).nonzero().flatten()
    one_at, two_at, difference, border = one_at[seam], two_at[seam], (two - one)[seam], border[seam]
    apart = (flat_q.index_select(0, one_at) - flat_q.index_select(0, two_at)).norm(dim=-1)
    weight = torch.ones_like(px)
    weight[border] = (0.5 + difference / (2 * apart) / SEAM).clamp(0.5, 1.0).nan_to_num(1.0)

    if turns is not None:
        back = turns.to(back)[:, None] @ back
    # offset = matrix (x - q), with the second product known beforehand
    rows = torch.cat([back.flatten(2), torch.einsum("bqij,bqj->bqi", back, q)], 2).flatten(0, 1).T.contiguous()

    def offsets(x: Tensor, y: Tensor, at: Tensor) -> Tensor:
        a, b, c, d, e, f = (row.take(at) for row in rows)
        return torch.stack([a.mul_(x).addcmul_(b, y).sub_(e), c.mul_(x).addcmul_(d, y).sub_(f)], -1)

    nearest = offsets(px, py, first_at)
    runner = nearest.clone()
    runner[border] = offsets(px.take(border), py.take(border), two_at)
    return nearest.reshape(points.shape), runner.reshape(points.shape), weight.reshape(points.shape[:2])


def _padded(orbits: Sequence[Orbit]) -> tuple[Tensor, Tensor, Tensor]:
    """Orbit points (B, Q, 2), far away where an orbit has fewer, their matrices (B, Q, 2, 2), and bases (B, 2, 2)."""
    count = max(len(o.points) for o in orbits)
    q, back = np.full((len(orbits), count, 2), 1e6), np.zeros((len(orbits), count, 2, 2))
    for i, o in enumerate(orbits):
        q[i, : len(o.points)], back[i, : len(o.points)] = o.points, o.matrices
    return torch.from_numpy(q), torch.from_numpy(back), torch.from_numpy(np.stack([o.basis for o in orbits]))


def _two_nearest(
    x: Tensor, y: Tensor, q: Tensor, listed: Tensor, length: Tensor, tile: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The nearest two of the orbit points `q` listed for each point's `tile`, and their squared distances."""
    qx, qy = q.T.contiguous().unbind()

    def squared(x: Tensor, y: Tensor, at: Tensor) -> Tensor:
        dx, dy = x - qx.take(at), y - qy.take(at)
        return dx.square() + dy.square()

    one_at, two_at = listed[:, 0].take(tile), listed[:, min(1, listed.shape[1] - 1)].take(tile)
    one, two = squared(x, y, one_at), squared(x, y, two_at)
    swapped = two < one
    one, two = torch.minimum(one, two), torch.maximum(one, two)
    one_at, two_at = torch.where(swapped, two_at, one_at), torch.where(swapped, one_at, two_at)
    rest, more = torch.arange(len(x), device=x.device), length.take(tile)
    for k in range(2, listed.shape[1]):
        rest = rest[more[rest] > k]
        if not len(rest):
            break
        at = listed[:, k].take(tile[rest])
        d, best, best_at = squared(x[rest], y[rest], at), one[rest], one_at[rest]
        nearer, runner_up = d < best, d < two[rest]
        two[rest] = torch.where(nearer, best, torch.where(runner_up, d, two[rest]))
        two_at[rest] = torch.where(nearer, best_at, torch.where(runner_up, at, two_at[rest]))
        one[rest], one_at[rest] = torch.where(nearer, d, best), torch.where(nearer, at, best_at)
    return one_at, two_at, one, two


def times(matrices: Tensor, vectors: Tensor) -> Tensor:
    """Matrices (B, 2, 2) times vectors (B, P, 2); several times faster than a product of such thin matrices."""
    m, (x, y) = matrices[:, None], vectors.unbind(-1)
    rows = [m[..., i, 0] * x + m[..., i, 1] * y for i in (0, 1)]
    return torch.stack(rows, -1)


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
