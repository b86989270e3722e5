"""Symmetry elements of a cell, found from the operations: rotation centres, mirror lines and glide lines.

The geometric element of an operation is the set of fixed points that remain without its intrinsic translation
(International Tables for Crystallography, Vol. A, section 1.2.3). All coordinates are exact fractions of the cell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

from .groups import WallpaperGroup
from .operations import IDENTITY, Operation, Vector, apply, fixed_axis

STEPS = range(-3, 4)  # lattice translations that can bring an element of these matrices into the cell


@dataclass(frozen=True)
class Centre:
    """A rotation centre and the order of its rotations: 2, 3, 4 or 6."""

    at: Vector
    order: int


@dataclass(frozen=True)
class Line:
    """A mirror or glide line, from where it enters the cell to where it leaves it."""

    start: Vector
    end: Vector
    glide: bool


def rotation_centres(group: WallpaperGroup) -> tuple[Centre, ...]:
    """Every rotation centre in the closed cell, with the highest order found there.

    >>> from .groups import group
    >>> [(str(c.at[0]), str(c.at[1]), c.order) for c in rotation_centres(group("p3"))][1:3]
    [('0', '1', 3), ('1/3', '2/3', 3)]
    """
    found: dict[Vector, int] = {}
    for op, shift in _translates(group):
        if op.det == 1 and op.W != IDENTITY:
            at = _fixed_point(op, shift)
            if all(0 <= t <= 1 for t in at):
                turns = Operation(op.W).order
                found[at] = max(found.get(at, 1), turns)
    return tuple(Centre(at, found[at]) for at in sorted(found))


def reflection_lines(group: WallpaperGroup) -> tuple[Line, ...]:
    """Every mirror line and glide line that crosses the closed cell or bounds it.

    A line that is both, such as the mirror of a centred cell along its axis, counts as a mirror.
    """
    mirror: dict[tuple[int, int, Fraction], bool] = {}
    for op, shift in _translates(group):
        if op.det == -1:
            x, y = fixed_axis(op.W)
            x, y = (x, y) if (x, y) > (0, 0) else (-x, -y)
            doubled = apply(((op.W[0][0] + 1, op.W[0][1]), (op.W[1][0], op.W[1][1] + 1)), shift)
            # The part of the translation across the line moves it by half as much.
            across = (shift[0] - doubled[0] / 2, shift[1] - doubled[1] / 2)
            offset = (x * across[1] - y * across[0]) / 2
            key = (x, y, offset)
            mirror[key] = mirror.get(key, False) or not any(doubled)
    lines = []
    for (x, y, offset), is_mirror in sorted(mirror.items()):
        ends = _clipped(x, y, offset)
        if ends is not None:
            lines.append(Line(*ends, glide=not is_mirror))
    return tuple(lines)


def _translates(group: WallpaperGroup) -> Iterator[tuple[Operation, Vector]]:
    """All operations with their whole translations, which `Operation` keeps modulo the cell."""
    for op in group.operations:
        for i, j in product(STEPS, repeat=2):
            yield op, (op.w[0] + i, op.w[1] + j)


def _fixed_point(op: Operation, shift: Vector) -> Vector:
    """The point with ``x = W x + shift`` of a rotation, by Cramer's rule."""
    a, b, c, d = 1 - op.W[0][0], -op.W[0][1], -op.W[1][0], 1 - op.W[1][1]
    det = a * d - b * c
    return ((d * shift[0] - b * shift[1]) / det, (a * shift[1] - c * shift[0]) / det)


def _clipped(x: int, y: int, offset: Fraction) -> tuple[Vector, Vector] | None:
    """Where the line ``x v - y u = offset`` meets the border of the cell; None where it meets a corner or nothing."""
    ends: set[Vector] = set()
    for edge in (Fraction(0), Fraction(1)):
        if x:
            ends.add((edge, (offset + y * edge) / x))
        if y:
            ends.add(((x * edge - offset) / y, edge))
    inside = sorted(p for p in ends if all(0 <= t <= 1 for t in p))
    return (inside[0], inside[-1]) if len(inside) > 1 else None
