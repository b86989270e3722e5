"""The ways in which a group can lie on a lattice: the settings of its cell in a reduced basis.

Other cells of one lattice, other axes for a mirror, other axes for the glide of pmg. Settings that put the same
operations at other positions of the lattice, or that only name the axes otherwise, are one.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache, cached_property
from itertools import product

from .finite import closure
from .groups import WallpaperGroup, group
from .identification import identify
from .lattices import integral, invert, multiply
from .operations import IDENTITY, Kind, Matrix, Operation, Vector, determinant


@dataclass(frozen=True)
class Setting:
    """A group on a lattice whose reduced basis has an angle in [90, 120] degrees.

    `cells` are the conventional cells that give these operations: integer matrices whose columns are `a` and `b`
    in the reduced basis. `operations` are the group's, one for each matrix of the point group, in the reduced basis
    with the origin of International Tables. `kinds` distinguishes mirrors from glides.
    """

    name: str
    cells: tuple[Matrix, ...]
    operations: tuple[Operation, ...]
    kinds: frozenset[tuple[Matrix, Kind]]

    @cached_property
    def kind(self) -> dict[Matrix, Kind]:
        """The kind of the operation with a matrix."""
        return dict(self.kinds)


@dataclass(frozen=True)
class Finer:
    """A supergroup of a setting with a lattice `index` times as fine: its type, and the translations `steps` added."""

    name: str
    index: int
    steps: tuple[Vector, ...]


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


@cache
def finer_lattices(setting: Setting) -> tuple[Finer, ...]:
    """Supergroups whose lattice is finer by halves or thirds of lattice vectors, the smallest refinements only.

    >>> [(f.name, f.index) for f in finer_lattices(settings("p4m")[0])]
    [('p4m', 2), ('p4m', 9)]
    """
    generators = ((2, 1, 0), (2, 0, 1), (2, 1, 1), (3, 1, 0), (3, 0, 1), (3, 1, 1), (3, 1, 2))
    found: dict[frozenset[Vector], Finer] = {}
    for n, i, j in generators:
        whole = closure([*setting.operations, Operation(IDENTITY, (Fraction(i, n), Fraction(j, n)))])
        steps = tuple(op.w for op in whole if op.W == IDENTITY and any(op.w))
        found[frozenset(steps)] = Finer(identify(whole), len(steps) + 1, steps)
    return tuple(finer for steps, finer in found.items() if not any(other < steps for other in found))


@cache
def named_by_matrix(name: str, cell: Matrix) -> dict[Matrix, Operation]:
    """The group's operations as the tables write them, by the matrices that they have in the basis of `cell`."""
    chosen = group(name)
    made: dict[Matrix, Operation] = {}
    for op in chosen.operations:
        W = integral(multiply(multiply(cell, op.W), invert(cell)))
        if W is None:
            raise ValueError(f"cell {cell} is not a cell of {name}: {op.xyz!r} does not map its lattice onto itself")
        made.setdefault(W, op)
    return made


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
    """Cells with short vectors: a reduced basis needs no longer ones."""
    reach = range(-2, 3) if chosen.centred else range(-1, 2)
    size = len(chosen.centring)
    return [((a, b), (c, d)) for a, b, c, d in product(reach, repeat=4) if abs(a * d - b * c) == size]
