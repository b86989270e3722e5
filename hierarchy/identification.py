"""The type of a plane group from its operations in any basis of any cell, by invariants.

The order of the steps is that of the tables themselves: primitive lattice, rotation order, reflections, then
mirror or glide (International Tables for Crystallography, Vol. A, section 1.2.2 and chapter 2.2).
"""

from __future__ import annotations

from collections.abc import Iterable

from .finite import FiniteGroup
from .lattices import primitive_basis, transform
from .operations import IDENTITY, Operation, determinant, fixed_axis, is_rectangular


def primitive(operations: Iterable[Operation]) -> tuple[Operation, ...]:
    """One operation for each matrix of the point group, in a primitive basis of the lattice.

    ValueError when the operations are not a group or do not map their own lattice onto itself.
    """
    given = FiniteGroup.of(operations).operations
    lattice = primitive_basis(op.w for op in given if op.W == IDENTITY)
    moved = transform(given, lattice)
    if moved is None:
        raise ValueError("not a plane group: the operations do not map their own translations onto translations")
    return FiniteGroup.of(moved).operations


def identify(operations: Iterable[Operation]) -> str:
    """Name of the wallpaper group of a closed set of operations modulo the cell's lattice.

    The cell may be any: skew, primitive or not, with the axes in either order, larger than the conventional one
    (its extra translations are then among the operations). ValueError when the set is not a group.

    >>> identify([Operation.from_xyz("x,y"), Operation.from_xyz("y,x")])
    'cm'
    """
    ops = primitive(operations)
    order = max(op.order for op in ops if op.det == 1)
    reflections = [op for op in ops if op.det == -1]
    if not reflections:
        return f"p{order}"
    # In a primitive basis a reflection is 1 modulo 2 exactly when its lattice is rectangular, not centred.
    rectangular = [op for op in reflections if is_rectangular(op.W)]
    mirrors = sum(op.kind() == "mirror" for op in rectangular)
    match order:
        case 1 if not rectangular:
            return "cm"
        case 1:
            return "pm" if mirrors else "pg"
        case 2 if not rectangular:
            return "cmm"
        case 2:
            return ("pgg", "pmg", "pmm")[mirrors]
        case 4:
            return "p4m" if mirrors else "p4g"
        case 3:
            return "p31m" if _axis_is_short(ops, reflections[0]) else "p3m1"
        case _:
            return "p6m"


def _axis_is_short(ops: Iterable[Operation], reflection: Operation) -> bool:
    """Whether the axis is a shortest lattice vector: then it and its threefold image span the lattice."""
    rotation = next(op for op in ops if op.order == 3)
    (a, b), (c, d) = rotation.W
    x, y = fixed_axis(reflection.W)
    return abs(determinant(((x, a * x + b * y), (y, c * x + d * y)))) == 1
