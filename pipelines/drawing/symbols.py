"""The graphical symbols of International Tables, and the little plane geometry that drawing them needs.

International Tables for Crystallography, Vol. A (2016), tables 2.1.2.1 (solid lines are mirrors, dashed ones
glides) and 2.1.2.2 (lens, triangle, square and hexagon for rotations of order 2, 3, 4 and 6).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import ceil, floor, gcd

import numpy as np
from numpy.typing import NDArray

from ...hierarchy import WallpaperGroup
from ...hierarchy.elements import reflection_lines, rotation_centres

Array = NDArray[np.float64]
DASH, GAP = 9.0, 6.0
ORDERS = {2: "lens", 3: "triangle", 4: "square", 6: "hexagon"}
_FIRST_CORNER = {3: 90.0, 4: 45.0, 6: 30.0}  # degrees counter-clockwise as seen, where `a` points right


def symbol(order: int, size: float, turn: float = 0.0) -> Array:
    """Corners (N, 2) of a rotation's symbol about (0, 0), y down; `size` its radius, `turn` degrees counter-clockwise.

    The lens lies across `a`, its two arcs joined at the tips.
    """
    if order == 2:
        t = np.linspace(-1, 1, 17)
        arc = np.stack([0.5 * (1 - t**2), 1.15 * t], 1)
        corners = size * np.concatenate([arc, -arc])
    else:
        angle = np.radians(_FIRST_CORNER[order] + 360 * np.arange(order) / order)
        corners = 1.15 * size * np.stack([np.cos(angle), -np.sin(angle)], 1)
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    return np.asarray(corners @ np.array([[c, -s], [s, c]]))


def dashes(length: float, dash: float = DASH, gap: float = GAP) -> tuple[float, float]:
    """Lengths of dash and gap, so that a line of `length` begins and ends with a dash."""
    gaps = max(1, round((length - dash) / (dash + gap)))
    scale = length / (gaps * (dash + gap) + dash)
    return scale * dash, scale * gap


def cut(region: Array, point: Array, normal: Array) -> Array:
    """The part of a convex polygon on the near side of a line (Sutherland and Hodgman, CACM 17, 1974)."""
    side = (region - point) @ normal
    kept = []
    for k, corner in enumerate(region):
        if (side[k - 1] > 1e-9) != (side[k] > 1e-9):
            share = side[k - 1] / (side[k - 1] - side[k])
            kept.append(region[k - 1] + share * (corner - region[k - 1]))
        if side[k] <= 1e-9:
            kept.append(corner)
    return np.array(kept).reshape(-1, 2)


@dataclass(frozen=True)
class Frame:
    """Where a conventional cell lies: `basis` (2, 2) px, columns `a` and `b`, and `origin` (2,) px, y down."""

    basis: Array
    origin: Array

    def px(self, at: Array) -> Array:
        """Points (..., 2) in px from fractions of the cell."""
        return np.asarray(at @ self.basis.T + self.origin)

    def fractions(self, points: Array) -> Array:
        """The inverse of `px`."""
        return np.asarray((points - self.origin) @ np.linalg.inv(self.basis).T)


@dataclass(frozen=True)
class Segment:
    """A part of a mirror, glide or lattice line, from `start` to `end` px."""

    start: Array
    end: Array
    glide: bool = False


def lines_within(group: WallpaperGroup, frame: Frame, region: Array) -> list[Segment]:
    """Every mirror and glide line of `group` that crosses the convex polygon `region` (N, 2) px, clipped to it."""
    kinds: dict[tuple[int, int, Fraction], bool] = {}
    for line in reflection_lines(group):
        x, y = _direction(line.end[0] - line.start[0], line.end[1] - line.start[1])
        # the cell's translations repeat a line at every whole step: x and y have no common divisor
        kinds[x, y, (x * line.start[1] - y * line.start[0]) % 1] = line.glide
    found = []
    for (x, y, offset), glide in sorted(kinds.items(), key=lambda item: not item[1]):
        found += [Segment(p, q, glide) for p, q in _clipped((x, y), float(offset), frame, region)]
    return found


def lattice_lines(frame: Frame, region: Array) -> list[Segment]:
    """The edges of all cells within a convex polygon."""
    pairs = (ends for axis in ((1, 0), (0, 1)) for ends in _clipped(axis, 0.0, frame, region))
    return [Segment(p, q) for p, q in pairs]


def centres_within(group: WallpaperGroup, frame: Frame, region: Array) -> list[tuple[int, Array]]:
    """Order and position (2,) px of every rotation centre of `group` within the convex polygon `region`."""
    corners = frame.fractions(region)
    low, high = np.floor(corners.min(0)).astype(int), np.ceil(corners.max(0)).astype(int)
    home = [c for c in rotation_centres(group) if all(t < 1 for t in c.at)]
    found = []
    for centre in home:
        for i, j in product(range(low[0], high[0] + 1), range(low[1], high[1] + 1)):
            at = frame.px(np.array([float(centre.at[0]) + i, float(centre.at[1]) + j]))
            if contains(region, at):
                found.append((centre.order, at))
    return found


def contains(region: Array, point: Array) -> bool:
    """Whether a convex polygon has `point` inside or on its border, to a thousandth of a px."""
    edges = np.roll(region, -1, 0) - region
    off = point - region
    crossed = (edges[:, 0] * off[:, 1] - edges[:, 1] * off[:, 0]) / np.maximum(np.linalg.norm(edges, axis=1), 1e-9)
    return bool((crossed > -1e-3).all() or (crossed < 1e-3).all())


def _direction(x: Fraction, y: Fraction) -> tuple[int, int]:
    """The shortest whole vector along a direction, one of the two."""
    n = x.denominator * y.denominator
    i, j = int(x * n), int(y * n)
    i, j = i // gcd(i, j), j // gcd(i, j)
    return (i, j) if (i, j) > (0, 0) else (-i, -j)


def _clipped(axis: tuple[int, int], offset: float, frame: Frame, region: Array) -> Iterator[tuple[Array, Array]]:
    """The lines ``x v - y u = offset + n`` along `axis`, n whole, as far as they lie in `region`."""
    x, y = axis
    u = frame.fractions(region)
    height = x * u[:, 1] - y * u[:, 0]
    for n in range(ceil(height.min() - offset), floor(height.max() - offset) + 1):
        side = height - offset - n
        ends = []
        for k in range(len(region)):
            if (side[k - 1] > 0) != (side[k] > 0):
                share = side[k - 1] / (side[k - 1] - side[k])
                ends.append(region[k - 1] + share * (region[k] - region[k - 1]))
        if len(ends) == 2 and np.linalg.norm(ends[1] - ends[0]) > 1:
            yield ends[0], ends[1]
