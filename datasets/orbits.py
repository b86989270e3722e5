"""Orbits of generic points: where the copies of a fundamental domain lie, and what leads each back to the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..hierarchy import Operation
from .lattices import reduce_bases

Array = NDArray[np.float64]
SEAM = 1.0  # px: width of the blend across a domain's border that is not a mirror
COARSE, FINE = 6, 24  # points along each axis of the cell where distances are measured
FAR = 1e6  # px: where the orbit points are that fill up shorter orbits
NEIGHBOURS = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)], dtype=np.float64)


@dataclass(frozen=True)
class Orbit:
    """Orbit points of a generic point near the origin's cell, and the operations that lead back.

    Lengths in px. `points` (Q, 2), positions relative to the pattern's origin (the generic point is not
    subtracted); `matrices` (Q, 2, 2) turn an offset from the orbit point into the
    offset from the generic point. No point of the plane is farther than `radius` from its nearest orbit point.
    """

    basis: Array
    points: Array
    matrices: Array
    radius: float


@dataclass(frozen=True)
class Orbits:
    """Orbits of B patterns, padded with points `FAR` away.

    `basis` (B, 2, 2), `points` (B, Q, 2), `matrices` (B, Q, 2, 2), `radius` (B,): see `Orbit`.
    """

    basis: Array
    points: Array
    matrices: Array
    radius: Array

    def __len__(self) -> int:
        return len(self.basis)

    def __getitem__(self, chosen: slice) -> Orbits:
        """Some of them, padded no more than they need."""
        count = int((self.points[chosen, :, 0] < FAR).sum(1).max(initial=0))
        points, matrices = self.points[chosen, :count], self.matrices[chosen, :count]
        return Orbits(self.basis[chosen], points, matrices, self.radius[chosen])

    @classmethod
    def joined(cls, some: Sequence[Orbits]) -> Orbits:
        """Several batches as one."""
        count = max(o.points.shape[1] for o in some)
        points = [np.pad(o.points, ((0, 0), (0, count - o.points.shape[1]), (0, 0)), constant_values=FAR) for o in some]
        matrices = [np.pad(o.matrices, ((0, 0), (0, count - o.points.shape[1]), (0, 0), (0, 0))) for o in some]
        basis, radius = (np.concatenate([getattr(o, name) for o in some]) for name in ("basis", "radius"))
        return cls(basis, np.concatenate(points), np.concatenate(matrices), radius)


@lru_cache(maxsize=512)
def arrays(operations: tuple[Operation, ...]) -> tuple[Array, Array]:
    """The matrices (n, 2, 2) and the translations (n, 2) of operations."""
    W = np.array([op.W for op in operations], dtype=np.float64)
    return W, np.array([[float(t) for t in op.w] for op in operations])


def padded(operations: Sequence[tuple[Operation, ...]]) -> tuple[Array, Array, NDArray[np.bool_]]:
    """`arrays` of B sets of operations together, (B, n, 2, 2) and (B, n, 2), and which of the n they have, (B, n).

    Shorter sets are filled up with identities.
    """
    known = [arrays(own) for own in operations]
    count = max(len(W) for W, _ in known)
    W, w = np.broadcast_to(np.eye(2), (len(known), count, 2, 2)).copy(), np.zeros((len(known), count, 2))
    for i, (own_W, own_w) in enumerate(known):
        W[i, : len(own_W)], w[i, : len(own_w)] = own_W, own_w
    return W, w, np.arange(count) < np.array([len(own) for own, _ in known])[:, None]


def orbits(operations: Sequence[tuple[Operation, ...]], basis: Array, generic: Array) -> Orbits:
    """Orbits of the fractional points `generic` (B, 2) under the `operations` of the cells `basis` (B, 2, 2), in px.

    Of every copy there are nine points, in the reduced cell about the origin and those next to it, one of which is
    nearest to any point of the cell. Those are left out that are farther than the nearest everywhere on a coarse grid
    by more than twice its spacing and two seams (triangle inequality).
    """
    reduced = reduce_bases(basis)
    W, w, there = padded(operations)
    q = moved(W, generic[:, None]) + w
    u = moved((np.linalg.inv(reduced) @ basis)[:, None], q)
    q = moved(reduced[:, None, None], (u - np.rint(u))[:, :, None] + NEIGHBOURS).reshape(len(basis), -1, 2)
    q[~np.repeat(there, len(NEIGHBOURS), 1)] = FAR
    back = np.repeat(basis[:, None] @ np.linalg.inv(W) @ np.linalg.inv(basis)[:, None], len(NEIGHBOURS), 1)
    squared, spacing = _probed(reduced, q, COARSE)
    reach = np.sqrt(squared.min(1).clip(0)) + 2 * (spacing + SEAM)[:, None]
    far = (squared - reach[:, None] ** 2).min(2) > 0
    order = np.argsort(far, 1, kind="stable")[:, : (~far).sum(1).max()]
    q[far] = FAR
    q, back = np.take_along_axis(q, order[..., None], 1), np.take_along_axis(back, order[..., None, None], 1)
    squared, spacing = _probed(reduced, q, FINE)
    radius = np.sqrt(squared.min(1).clip(0).max(1)) + spacing
    return Orbits(reduced, q, back, radius)


def moved(matrices: Array, vectors: Array) -> Array:
    """Matrices (..., 2, 2) times vectors (..., 2); numbers, unlike a product of matrices, that depend on no others."""
    x, y = vectors[..., 0], vectors[..., 1]
    return np.stack([matrices[..., i, 0] * x + matrices[..., i, 1] * y for i in (0, 1)], -1)


def _probed(reduced: Array, q: Array, n: int) -> tuple[Array, Array]:
    """Squared distances (B, Q, n**2) of points from a grid on the cell, and how far off that other points are (B,)."""
    ticks = (np.arange(n) + 0.5) / n - 0.5
    grid = moved(reduced[:, None], np.stack(np.meshgrid(ticks, ticks, indexing="ij"), -1).reshape(-1, 2))
    squared, y = (q[:, :, None, i] - grid[:, None, :, i] for i in (0, 1))
    squared *= squared
    squared += np.multiply(y, y, out=y)
    diagonals = reduced @ np.array([[1.0, 1.0], [1.0, -1.0]])
    return squared, 0.5 / n * np.sqrt((diagonals**2).sum(1).max(-1))


def orbit(operations: Sequence[Operation], basis: Array, generic: Array) -> Orbit:
    """Orbit of the fractional point `generic` (2,) under `operations` of the cell `basis` (2, 2), in px.

    Only the points that can be nearest or second nearest (within the seam) to some point of the reduced
    cell are kept: q is dropped when it is farther than the nearest by more than twice the spacing of a
    probing grid plus the seam everywhere on that grid (triangle inequality).
    """
    one = orbits([tuple(operations)], basis[None], generic[None])
    squared, spacing = _probed(one.basis, one.points, FINE)
    distance = np.sqrt(squared[0].clip(0))
    keep = (distance - distance.min(0)).min(1) <= 2 * spacing[0] + 2 * SEAM
    return Orbit(one.basis[0], one.points[0, keep], one.matrices[0, keep], float(one.radius[0]))
