"""Operations of a plane group, exact: integer matrices and rational translations modulo the cell.

`(W, w)` maps fractional coordinates ``x' = W x + w`` (International Tables for Crystallography, Vol. A,
section 1.2.2). `w` is kept in [0, 1), so one `Operation` stands for all its translates by the cell's lattice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from math import gcd
from typing import Literal, TypeAlias

Matrix: TypeAlias = tuple[tuple[int, int], tuple[int, int]]
Vector: TypeAlias = tuple[Fraction, Fraction]
Kind: TypeAlias = Literal["identity", "translation", "rotation", "mirror", "glide"]

IDENTITY: Matrix = ((1, 0), (0, 1))
ZERO: Vector = (Fraction(0), Fraction(0))

_TERM = re.compile(r"([+-]|^)(?:(\d*)([xy])|(\d+)(?:/(\d+))?)")


@dataclass(frozen=True)
class Operation:
    """A symmetry operation ``x' = W x + w`` in fractional coordinates (column vectors), `w` modulo 1.

    >>> glide = Operation.from_xyz("-x, y+1/2")
    >>> (glide @ glide).xyz, glide.kind()
    ('x,y', 'glide')
    """

    W: Matrix
    w: Vector = ZERO

    def __post_init__(self) -> None:
        object.__setattr__(self, "w", (Fraction(self.w[0]) % 1, Fraction(self.w[1]) % 1))

    @classmethod
    def from_xyz(cls, text: str) -> Operation:
        """Read coordinates as in ``"-x+1/2,y"``; ValueError says what is wrong."""
        parts = text.replace(" ", "").lower().split(",")
        if len(parts) != 2:
            raise ValueError(f"operation {text!r}: two coordinates expected, as in '-x+1/2,y'")
        rows, shift = [], []
        for part in parts:
            terms = list(_TERM.finditer(part))
            if not part or "".join(t.group(0) for t in terms) != part:
                raise ValueError(f"operation {text!r}: cannot read {part!r}, expected a form such as '-x+1/2'")
            row, add = {"x": 0, "y": 0}, Fraction(0)
            for sign, factor, axis, above, below in (t.groups() for t in terms):
                one = -1 if sign == "-" else 1
                if axis:
                    row[axis] += one * int(factor or 1)
                elif below and not int(below):
                    raise ValueError(f"operation {text!r}: division by zero in {part!r}")
                else:
                    add += Fraction(one * int(above), int(below or 1))
            rows.append((row["x"], row["y"]))
            shift.append(add)
        return cls((rows[0], rows[1]), (shift[0], shift[1]))

    def __matmul__(self, other: Operation) -> Operation:
        """The product: first `other`, then `self`."""
        t = apply(self.W, other.w)
        return Operation(product(self.W, other.W), (t[0] + self.w[0], t[1] + self.w[1]))

    @property
    def det(self) -> int:
        """Determinant of `W`: 1 for translations and rotations, -1 for mirrors and glides."""
        return determinant(self.W)

    @property
    def trace(self) -> int:
        """Trace of `W`; with `det` it gives the type of the matrix (ITA table 1.2.2.1)."""
        return self.W[0][0] + self.W[1][1]

    @property
    def inverse(self) -> Operation:
        """The operation that undoes this one."""
        (a, b), (c, d) = self.W
        W = ((d * self.det, -b * self.det), (-c * self.det, a * self.det))
        t = apply(W, self.w)
        return Operation(W, (-t[0], -t[1]))

    @property
    def order(self) -> int:
        """Smallest n for which the n-th power is the identity modulo the cell (a glide has 2)."""
        power, n = self, 1
        while power.W != IDENTITY:
            power, n = power @ self, n + 1
            if n > 6:
                raise ValueError(f"operation {self.xyz!r} has no finite order: {self.W} preserves no lattice")
        # What remains is a translation modulo the cell.
        steps = 1
        while any((steps * t).denominator != 1 for t in power.w):
            steps += 1
        return n * steps

    @property
    def xyz(self) -> str:
        """Coordinates of the image of (x, y), as in International Tables: ``"-x+1/2,y"``."""
        return ",".join(_coordinate(row, t) for row, t in zip(self.W, self.w, strict=True))

    def kind(self, centring: Iterable[Vector] = ()) -> Kind:
        """What the operation is on the lattice of the cell's translations and `centring`.

        A reflection is a mirror when one of its lattice translates leaves a line fixed point by point, that
        is, when the intrinsic translation ``t / 2`` of that translate is zero, ``(W, w)^2 = (1, t)`` (ITA
        section 1.2.2.4). So in a centred cell "-x+1/2,y+1/2" is a mirror, in a primitive one a glide.
        """
        if self.W == IDENTITY:
            return "identity" if self.w == ZERO else "translation"
        if self.det == 1:
            return "rotation"
        # (W, w + u) squared is (1, (W + 1)(w + u)), and W + 1 maps the cell's lattice onto every multiple, or
        # every second one, of the axis: so only the centring translations u need be tried one by one.
        return "mirror" if any(self._fixes_a_line(u) for u in (ZERO, *centring)) else "glide"

    def _fixes_a_line(self, u: Vector) -> bool:
        doubled = ((self.W[0][0] + 1, self.W[0][1]), (self.W[1][0], self.W[1][1] + 1))
        t = apply(doubled, (self.w[0] + u[0], self.w[1] + u[1]))
        axis = fixed_axis(self.W)
        pick = 0 if axis[0] else 1
        return (t[pick] / axis[pick] / (2 if is_rectangular(self.W) else 1)).denominator == 1

    def __str__(self) -> str:
        return self.xyz


def product(A: Matrix, B: Matrix) -> Matrix:
    """The matrix product `A B`."""
    (a, b), (c, d) = A
    (e, f), (g, h) = B
    return ((a * e + b * g, a * f + b * h), (c * e + d * g, c * f + d * h))


def apply(A: Matrix | tuple[Vector, Vector], v: Vector) -> Vector:
    """The vector `A v`, for an integer or a rational matrix."""
    return (A[0][0] * v[0] + A[0][1] * v[1], A[1][0] * v[0] + A[1][1] * v[1])


def determinant(A: Matrix) -> int:
    """The determinant of `A`."""
    return A[0][0] * A[1][1] - A[0][1] * A[1][0]


def fixed_axis(W: Matrix) -> tuple[int, int]:
    """Shortest integer vector along the line that the reflection `W` leaves fixed."""
    columns = ((W[0][0] + 1, W[1][0]), (W[0][1], W[1][1] + 1))
    x, y = columns[0] if any(columns[0]) else columns[1]
    n = gcd(x, y)
    return (x // n, y // n)


def is_rectangular(W: Matrix) -> bool:
    """Whether the axis and the normal of the reflection `W` span the lattice: `W` is then 1 modulo 2.

    If not, they span half of it (the lattice is rhombic, centred in their rectangle).
    """
    return W[0][1] % 2 == 0 and W[1][0] % 2 == 0


def _coordinate(row: tuple[int, int], t: Fraction) -> str:
    text = ""
    for factor, axis in zip(row, "xy", strict=True):
        if factor:
            size = "" if abs(factor) == 1 else str(abs(factor))
            text += ("-" if factor < 0 else "+") + size + axis
    if t or not text:
        text += f"+{t}"
    return text.removeprefix("+")
