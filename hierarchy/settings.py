"""In which ways a group can lie on a lattice: the settings of its cell in a reduced basis.

Other cells of one lattice, other axes for a mirror, other axes for the glide of pmg. Settings that put the same
operations at other places of the lattice, or that only name the axes otherwise, are one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product

from .groups import WallpaperGroup, group
from .operations import Kind, Matrix, Operation, determinant


@dataclass(frozen=True)
class Setting:
    """A group on a lattice whose reduced basis has an angle in [90, 120] degrees.

    `cells` are the conventional cells that give these operations: integer matrices whose columns are `a` and `b`
    in the reduced basis. `operations` are the group's, one for each matrix of the point group, in the reduced basis
    with the origin of International Tables. `kinds` tells mirrors from glides.
    """

    name: str
    cells: tuple[Matrix, ...]
    operations: tuple[Operation, ...]
    kinds: frozenset[tuple[Matrix, Kind]]


@cache
def settings(name: str) -> tuple[Setting, ...]:
    """Every setting whose matrices may be isometries of a reduced basis, that is, have entries -1, 0 and 1.

    >>> [len(settings(name)) for name in ("p1", "pm", "pmm", "pmg", "p4m")]
    [1, 2, 1, 2, 1]
    """
    chosen = group(name)
    found: dict[frozenset[tuple[Matrix, Kind]], tuple[tuple[Operation, ...], list[Matrix]]] = {}
    for cell in _cells(chosen):
        operations = in_reduced_basis(chosen, cell)
        if operations is not None:
            kinds = frozenset((op.W, op.kind()) for op in operations)
            found.setdefault(kinds, (operations, []))[1].append(cell)
    return tuple(Setting(chosen.name, tuple(cells), ops, kinds) for kinds, (ops, cells) in found.items())


def in_reduced_basis(chosen: WallpaperGroup, cell: Matrix) -> tuple[Operation, ...] | None:
    """One operation for each matrix of the point group, in the basis in which `cell` is given.

    None when the cell's centring is not the lattice's, or an entry of a matrix is not -1, 0 or 1.
    """
    (a, b), (c, d) = cell
    det = determinant(cell)
    steps = [(a * x + b * y, c * x + d * y) for x, y in chosen.centring]
    if any(t.denominator != 1 for step in steps for t in step) or abs(det) != len(chosen.centring):
        return None
    made: dict[Matrix, Operation] = {}
    for op in chosen.operations:
        (e, f), (g, h) = op.W
        p, q, r, s = a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h
        numerators = (p * d - q * c, q * a - p * b, r * d - s * c, s * a - r * b)
        if any(n % det or abs(n // det) > 1 for n in numerators):
            return None
        i, j, k, m = (n // det for n in numerators)
        w = (a * op.w[0] + b * op.w[1], c * op.w[0] + d * op.w[1])
        made.setdefault(((i, j), (k, m)), Operation(((i, j), (k, m)), w))
    return tuple(made.values())


def _cells(chosen: WallpaperGroup) -> list[Matrix]:
    """Cells on short vectors: of a reduced basis none longer is needed."""
    reach = range(-2, 3) if chosen.centred else range(-1, 2)
    size = len(chosen.centring)
    return [((a, b), (c, d)) for a, b, c, d in product(reach, repeat=4) if abs(a * d - b * c) == size]
