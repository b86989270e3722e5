"""Plane lattices and their sublattices, exact.

A basis is a matrix whose columns are the two vectors, written in the coordinates of some cell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import product as pairs
from math import gcd, lcm
from typing import TypeAlias

from .finite import sort_key
from .operations import Matrix, Operation, Vector, apply, determinant

Basis: TypeAlias = tuple[tuple[Fraction, Fraction], tuple[Fraction, Fraction]]
Metric: TypeAlias = tuple[int, int, int]  # a.a, a.b, b.b


def primitive_basis(translations: Iterable[Vector]) -> Basis:
    """Basis of the lattice spanned by the cell's own vectors and `translations`, in Hermite normal form."""
    given = tuple(translations)
    n = lcm(1, *(t.denominator for v in given for t in v))
    x, y, bottom = n, 0, n
    # Keep one vector (x, y); everything that Euclid's algorithm leaves over lies on the second axis.
    for s, t in given:
        u, v = int(s * n), int(t * n)
        while u:
            q = x // u
            x, y, u, v = u, v, x - q * u, y - q * v
        bottom = gcd(bottom, v)
    return ((Fraction(x, n), Fraction(0)), (Fraction(y % bottom, n), Fraction(bottom, n)))


def sublattices(index: int) -> Iterator[Matrix]:
    """All sublattices of `index`, each by its Hermite normal form in the lattice's basis."""
    for a in range(1, index + 1):
        if index % a == 0:
            for c in range(index // a):
                yield ((a, 0), (c, index // a))


def multiply(A: Basis | Matrix, B: Basis | Matrix) -> Basis:
    """The matrix product `A B`."""
    (a, b), (c, d) = A
    (e, f), (g, h) = B
    return (
        (Fraction(a * e + b * g), Fraction(a * f + b * h)),
        (Fraction(c * e + d * g), Fraction(c * f + d * h)),
    )


def invert(basis: Basis | Matrix) -> Basis:
    """The inverse matrix."""
    (a, b), (c, d) = basis
    det = Fraction(a * d - b * c)
    return ((d / det, -b / det), (-c / det, a / det))


def integral(basis: Basis) -> Matrix | None:
    """The basis as integers, None when a coordinate is not whole."""
    (a, b), (c, d) = basis
    if any(t.denominator != 1 for t in (a, b, c, d)):
        return None
    return ((int(a), int(b)), (int(c), int(d)))


def transform(operations: Iterable[Operation], basis: Basis | Matrix) -> tuple[Operation, ...] | None:
    """Operations in the coordinates of `basis`, modulo its lattice; None when they do not preserve that lattice."""
    given, inverse = tuple(operations), invert(basis)
    inner = {W: integral(multiply(multiply(inverse, W), basis)) for W in {op.W for op in given}}
    found = []
    for op in given:
        W = inner[op.W]
        if W is None:
            return None
        found.append(Operation(W, apply(inverse, op.w)))
    return tuple(found)


def in_supercell(operations: Iterable[Operation], cell: Matrix) -> tuple[Operation, ...]:
    """`operations` of a cell written in the supercell whose basis vectors are the columns of `cell`.

    There are ``abs(det(cell))`` times as many. ValueError when an operation does not map the supercell's
    lattice onto itself (a fourfold rotation and a cell doubled along one axis).
    """
    size = abs(determinant(cell))
    if not size:
        raise ValueError(f"cell {cell} has no area: its columns must be independent")
    moved = transform(operations, cell)
    if moved is None:
        raise ValueError(f"cell {cell}: not every operation maps its lattice onto itself; choose another cell")
    inverse = invert(cell)
    shifts = [apply(inverse, (Fraction(i), Fraction(j))) for i, j in pairs(range(size), repeat=2)]
    steps = {(x % 1, y % 1) for x, y in shifts}
    found = (Operation(op.W, (op.w[0] + x, op.w[1] + y)) for op in moved for x, y in steps)
    return tuple(sorted(found, key=sort_key))


def invariant_metric(matrices: Iterable[Matrix]) -> Metric:
    """A metric that every one of a group's `matrices` preserves: the sum of ``W^T W``."""
    aa = ab = bb = 0
    for (a, b), (c, d) in matrices:
        aa, ab, bb = aa + a * a + c * c, ab + a * b + c * d, bb + b * b + d * d
    return (aa, ab, bb)


def reduce(cell: Matrix, metric: Metric) -> Matrix:
    """Lagrange-reduced basis of the lattice of `cell`: right-handed, obtuse, close to the axes of the cell."""
    aa, ab, bb = metric

    def dot(u: Sequence[int], v: Sequence[int]) -> int:
        return aa * u[0] * v[0] + ab * (u[0] * v[1] + u[1] * v[0]) + bb * u[1] * v[1]

    u, v = (cell[0][0], cell[1][0]), (cell[0][1], cell[1][1])
    while True:
        if dot(u, u) > dot(v, v):
            u, v = v, u
        n = round(Fraction(dot(u, v), dot(u, u)))
        if n == 0:
            break
        v = (v[0] - n * u[0], v[1] - n * u[1])
    choices = []
    for p, q in ((u, v), (v, u)):
        for s, t in pairs((1, -1), repeat=2):
            basis = ((s * p[0], t * q[0]), (s * p[1], t * q[1]))
            if determinant(basis) > 0 and s * t * dot(p, q) <= 0:
                choices.append(basis)
    return max(choices, key=lambda m: (m[0][0] + m[1][1], m))
