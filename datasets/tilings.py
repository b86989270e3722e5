"""What is drawn as lines: borders of Dirichlet cells, straight or bent, and strokes, with all their images in a cell.

Every function takes the `Motions` of a pattern and gives paths that together have its symmetry: what one operation
makes of one of them is another, moved by a lattice vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Voronoi

from ..hierarchy import Operation

Array = NDArray[np.float64]
NEAR = 1e-6  # of the cell's edge: points that are closer are one


@dataclass(frozen=True)
class Motions:
    """The operations x -> M x + t of a pattern, in px, modulo its lattice (2, 2): `M` (G, 2, 2), `t` (G, 2)."""

    M: Array
    t: Array
    lattice: Array

    @classmethod
    def of(cls, operations: Sequence[Operation], basis: Array, lattice: Array) -> Motions:
        """Operations given in the cell `basis` (2, 2) px, one of each matrix: the others differ by a lattice vector."""
        first = list({op.W: op for op in reversed(operations)}.values())
        W = np.array([op.W for op in first], dtype=np.float64)
        w = np.array([[float(t) for t in op.w] for op in first])
        return cls(basis @ W @ np.linalg.inv(basis), w @ basis.T, lattice)

    @property
    def edge(self) -> float:
        """The root of the primitive cell's area, px."""
        return float(abs(np.linalg.det(self.lattice)) ** 0.5)

    def images(self, points: Array) -> Array:
        """What each operation makes of `points` (..., 2) px: (G, ..., 2)."""
        moved = np.einsum("gij,...j->g...i", self.M, points)
        return np.asarray(moved + self.t.reshape(-1, *[1] * (points.ndim - 1), 2))

    def whole(self, vectors: Array) -> Array:
        """The nearest lattice vectors (..., 2) px, by their fractional coordinates."""
        return np.asarray(np.rint(vectors @ np.linalg.inv(self.lattice).T) @ self.lattice.T)

    def fixed(self, rng: np.random.Generator, point: Array) -> Array:
        """`point` (2,) moved onto the centre or mirror of a random operation; a glide leaves it where it is."""
        k, shift = int(rng.integers(len(self.M))), self.lattice @ rng.integers(0, 2, 2)
        seen, at = [point], self.M[k] @ point + self.t[k] + shift
        for _ in range(6):
            if np.abs(at - point).max() < NEAR * self.edge:
                return np.asarray(np.mean(seen, 0))
            seen.append(at)
            at = self.M[k] @ at + self.t[k] + shift
        return point

    def orbit(self, path: Array) -> Array:
        """All different images (J, n, 2) of a path (n, 2) modulo the lattice; a path and its reverse are one."""
        images = self.images(path)
        middle = images.mean(1)
        shift = self.whole(middle[:, None] - middle[None])
        apart = images[:, None] - images[None] - shift[:, :, None]
        back = images[:, None] - images[None, :, ::-1] - shift[:, :, None]
        same = np.minimum(np.abs(apart).max((2, 3)), np.abs(back).max((2, 3))) < NEAR * self.edge
        return np.asarray(images[~np.triu(same, 1).any(0)])


def draw_sites(rng: np.random.Generator, motions: Motions, most: float) -> list[Array]:
    """Orbits (J, 2) px of a few points, half of them on special positions, with at most about `most` in a cell."""
    sites: list[Array] = []
    tried: list[Array] = []
    for _ in range(12):
        point = motions.lattice @ rng.random(2)
        point = motions.fixed(rng, point) if rng.random() < 0.5 else point
        tried.append(motions.orbit(point[None])[:, 0])
        if sum(map(len, sites)) + len(tried[-1]) <= most and not _crowded(motions, [*sites, tried[-1]]):
            sites.append(tried[-1])
    return sites or [min(tried, key=len)]


def _crowded(motions: Motions, sites: Sequence[Array]) -> bool:
    """Whether two of the points are so close that the border between them would show as a spot."""
    points = np.concatenate(sites)
    apart = points[:, None] - points[None]
    apart -= motions.whole(apart)
    close = np.linalg.norm(apart, axis=-1) < 0.3 * motions.edge / len(points) ** 0.5
    return bool(close.sum() > len(points))


def dirichlet(motions: Motions, sites: Sequence[Array]) -> tuple[Array, list[tuple[int, Array]]]:
    """The borders (E, 2, 2) px of the points' Dirichlet cells, and each of these: its orbit, its corners (n, 2).

    Only what differs modulo the lattice is given.
    """
    inverse = np.linalg.inv(motions.lattice).T
    points = np.concatenate(sites)
    u = points @ inverse
    u -= np.floor(u)
    shifts = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 2, indexing="ij"), -1).reshape(-1, 2)
    patch = ((u[:, None] + shifts) @ motions.lattice.T).reshape(-1, 2)
    centre = motions.lattice.sum(1) / 2
    near = np.linalg.norm(patch - centre, axis=1) < 1.6 * np.linalg.norm(motions.lattice, axis=0).sum()
    found = Voronoi(patch[near])
    ends = np.array([pair for pair in found.ridge_vertices if -1 not in pair])
    borders = found.vertices[ends]
    # a window on the lattice that no special position lies on the edge of
    middle = borders.mean(1) @ inverse - (0.1234, 0.2345)
    here = (np.floor(middle) == 0).all(1) & (
        np.linalg.norm(borders[:, 1] - borders[:, 0], axis=1) > NEAR * motions.edge
    )
    whose = np.repeat(np.arange(len(sites)), [len(s) for s in sites])
    central = np.flatnonzero(near).searchsorted(np.flatnonzero((np.tile(shifts, (len(points), 1)) == 0).all(1)))
    cells = []
    for orbit, k in zip(whose, central, strict=True):
        corners = found.vertices[found.regions[found.point_region[k]]]
        away = corners - found.points[k]
        cells.append((int(orbit), corners[np.argsort(np.arctan2(away[:, 1], away[:, 0]))]))
    return borders[here], cells


def bent(rng: np.random.Generator, motions: Motions, borders: Array) -> Array:
    """Borders (E, 2, 2) px bent, the images of each alike: (E, n, 2), with the same ends.

    A border that operations map onto itself gets the mean of what they make of its curve: straight along a mirror,
    alike at both ends across one, turned about a twofold axis.
    """
    n = int(rng.choice([3, 4, 5, 9]))
    t = np.linspace(0, 1, n)
    result = np.full((len(borders), n, 2), np.nan)
    for e, (start, end) in enumerate(borders):
        if not np.isnan(result[e, 0, 0]):
            continue
        along, across = end - start, np.array([start[1] - end[1], end[0] - start[0]])
        if n == 9:
            off = sum(rng.uniform(-0.22, 0.22) * np.sin(np.pi * k * t) / k for k in (1, 2, 3))
            curve = start + np.outer(t, along) + np.outer(off, across)
        else:
            off = np.pad(rng.uniform(-0.25, 0.25, (n - 2, 2)) * (0.4, 1), ((1, 1), (0, 0)))
            curve = start + np.outer(t + off[:, 0], along) + np.outer(off[:, 1], across)
        images = motions.images(curve)
        ends = images[:, [0, -1]]
        shift = motions.whole(borders.mean(1)[None] - ends.mean(1)[:, None])
        apart = ends[:, None] + shift[:, :, None] - borders[None]
        flipped = ends[:, None, ::-1] + shift[:, :, None] - borders[None]
        same, turned = (np.abs(d).max((2, 3)) < 1e-4 * motions.edge for d in (apart, flipped))
        for j in np.flatnonzero((same | turned).any(0)):
            curves = [images[g] + shift[g, j] for g in np.flatnonzero(same[:, j])]
            curves += [images[g][::-1] + shift[g, j] for g in np.flatnonzero(turned[:, j])]
            result[j] = np.mean(curves, 0)
    return result


def net(rng: np.random.Generator, motions: Motions, length: float) -> Array:
    """Straight lines (E, 2, 2) px between special positions: grids, triangles, bricks; about `length` px at most."""
    lines: list[Array] = []
    drawn = 0.0
    while not lines or (rng.random() < 0.7 and drawn < length):
        start, end = (motions.fixed(rng, motions.lattice @ rng.random(2)) for _ in range(2))
        end = end - motions.whole(end - start)
        if rng.random() < 0.4 or np.linalg.norm(end - start) < 0.1 * motions.edge:
            end = start + motions.lattice @ [(1, 0), (0, 1), (1, 1), (1, -1)][int(rng.integers(4))]
        lines.append(motions.orbit(np.stack([start, end])))
        drawn += len(lines[-1]) * float(np.linalg.norm(end - start))
    return np.concatenate(lines)


def stroke(rng: np.random.Generator, motions: Motions, length: float) -> tuple[Array, bool]:
    """A random polyline, polygon, arc or Bezier curve (n, 2) px about `length` px long, and whether it is closed.

    Three in ten begin at, or lie around, a point of a special position.
    """
    at = motions.lattice @ rng.random(2)
    at = motions.fixed(rng, at) if rng.random() < 0.3 else at
    turn, few = rng.uniform(0, 2 * np.pi), int(rng.integers(2, 5))
    pieces = int(np.clip(length / 5, 6, 16))
    match int(rng.integers(5)):
        case 0:
            angle = turn + np.cumsum(np.r_[0, rng.uniform(-2, 2, few - 1)])
            steps = length / few * rng.uniform(0.5, 1.5, few)[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
            return at + np.concatenate([np.zeros((1, 2)), np.cumsum(steps, 0)]), False
        case 1:
            angle = turn + 2 * np.pi * (np.arange(few + 1) + rng.uniform(-0.3, 0.3, few + 1)) / (few + 1)
            radius = length / 6 * rng.uniform(0.6, 1.4, few + 1)
        case 2:
            angle, radius = turn + 2 * np.pi * np.arange(pieces) / pieces, np.full(pieces, length / (2 * np.pi))
        case 3:
            sweep = rng.uniform(1, 5)
            angle = turn + np.linspace(0, sweep, pieces)
            arc = length / sweep * np.stack([np.cos(angle), np.sin(angle)], 1)
            return at + arc - (arc[0] if rng.random() < 0.5 else 0), False
        case _:
            corners = at + np.concatenate([np.zeros((1, 2)), 0.7 * length * rng.uniform(-1, 1, (3, 2))])
            t = np.linspace(0, 1, pieces)[:, None]
            weights = np.concatenate([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3], 1)
            return weights @ corners, False
    return at + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1), True
