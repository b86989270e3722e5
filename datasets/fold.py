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
    u = torch.einsum("bij,bpj->bpi", torch.linalg.inv(basis), points)
    x = torch.einsum("bij,bpj->bpi", basis, u - u.round())

    first = torch.full(x.shape[:2], torch.inf, dtype=dtype, device=device)
    second = first.clone()
    first_at = torch.zeros(x.shape[:2], dtype=torch.int64, device=device)
    second_at = first_at.clone()
    px, py = x.unbind(-1)
    for k in range(count):
        d = (px - q[:, k, 0, None]) ** 2 + (py - q[:, k, 1, None]) ** 2
        nearer = d < first
        runner_up = ~nearer & (d < second)
        second = torch.where(nearer, first, torch.where(runner_up, d, second))
        second_at = torch.where(nearer, first_at, torch.where(runner_up, k, second_at))
        first = torch.where(nearer, d, first)
        first_at = torch.where(nearer, k, first_at)

    def offsets(at: Tensor) -> Tensor:
        rows = torch.arange(len(orbits), device=device)[:, None]
        return torch.einsum("bpij,bpj->bpi", back[rows, at], x - q[rows, at])

    rows = torch.arange(len(orbits), device=device)[:, None]
    apart = (q[rows, first_at] - q[rows, second_at]).norm(dim=-1)
    to_border = (second - first) / (2 * apart)
    return offsets(first_at), offsets(second_at), (0.5 + to_border / SEAM).clamp(0.5, 1.0)
