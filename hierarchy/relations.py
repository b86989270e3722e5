"""Maximal subgroups and minimal supergroups of the wallpaper groups, by computation.

A maximal subgroup keeps either all translations (translationengleiche, 't') or the point group
(klassengleiche, 'k'): Hermann's theorem, International Tables for Crystallography, Vol. A1, section 1.2.
Klassengleiche ones are listed for index 2 and 3. All others are isomorphic to the group itself (Vol. A1,
chapter 2.2: indices p and p^2 of primes from 5 on, and 4 for hexagonal, 9 for square lattices), so that the
relations between the 17 types are complete.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeAlias

from .finite import FiniteGroup
from .groups import GROUP_NAMES, group
from .identification import identify
from .lattices import (
    Basis,
    in_supercell,
    integral,
    invariant_metric,
    invert,
    multiply,
    primitive_basis,
    reduce,
    sublattices,
    transform,
)
from .operations import IDENTITY, Matrix, Operation, Vector, apply

Relation: TypeAlias = Literal["t", "k"]


@dataclass(frozen=True)
class Subgroup:
    """A maximal subgroup of a group, in a cell common to both.

    `cell` holds the supercell's basis vectors as columns, in the group's conventional cell. `operations` are
    the subgroup's, in the coordinates of that supercell, complete (extra translations included), so that
    ``identify(operations) == name``. The group's own are ``in_supercell(group.operations, cell)``.
    """

    name: str
    index: int
    kind: Relation
    cell: Matrix
    operations: tuple[Operation, ...]


@cache
def maximal_subgroups(name: str) -> tuple[Subgroup, ...]:
    """Every maximal subgroup: all 't', and 'k' of index 2 and 3, conjugates and other origins included.

    The same type may appear several times, once for each set of operations.
    """
    parent = group(name)
    found = [*_same_lattice(parent.operations)]
    lattice = primitive_basis(parent.centring)
    metric = invariant_metric(op.W for op in parent.operations)
    for index in (2, 3):
        for matrix in sublattices(index):
            coarse = multiply(lattice, matrix)
            if transform(parent.operations, coarse) is not None:
                cell = reduce(_whole_cell(coarse), metric)
                found.extend(_coarser_lattice(parent.operations, coarse, cell, index))
    return tuple(sorted(found, key=lambda s: (s.kind, s.index, GROUP_NAMES.index(s.name))))


def _same_lattice(operations: tuple[Operation, ...]) -> list[Subgroup]:
    """Subgroups with all the translations, none of which holds another."""
    whole = FiniteGroup.of(operations)
    translations = sum(1 << i for i, op in enumerate(whole.operations) if op.W == IDENTITY)
    masks = [m for m in whole.subgroup_masks() if m & translations == translations and m != whole.full]
    top = [m for m in masks if not any(m != n and m & n == m for n in masks)]
    made = []
    for mask in sorted(top):
        ops = whole.members(mask)
        made.append(Subgroup(identify(ops), len(operations) // len(ops), "t", IDENTITY, ops))
    return made


def _coarser_lattice(operations: tuple[Operation, ...], coarse: Basis, cell: Matrix, index: int) -> list[Subgroup]:
    """Subgroups with the whole point group and exactly the translations of the sublattice `coarse`."""
    whole = FiniteGroup.of(in_supercell(operations, cell))
    to_coarse, to_conventional = invert(coarse), multiply(((1, 0), (0, 1)), cell)

    def is_coarse(w: Vector) -> bool:
        return all(t.denominator == 1 for t in apply(to_coarse, apply(to_conventional, w)))

    pure = [i for i, op in enumerate(whole.operations) if op.W == IDENTITY]
    kept = sum(1 << i for i in pure if is_coarse(whole.operations[i].w))
    every = sum(1 << i for i in pure)
    size = len(whole.operations) // index
    made = []
    for mask in sorted(whole.subgroup_masks()):
        if mask & every == kept and mask.bit_count() == size:
            ops = whole.members(mask)
            made.append(Subgroup(identify(ops), index, "k", cell, ops))
    return made


def _whole_cell(basis: Basis) -> Matrix:
    """Cell of those vectors of a lattice that are whole in the conventional cell: all, or every second."""
    for index in (1, 2):
        for matrix in sublattices(index):
            cell = integral(multiply(basis, matrix))
            if cell is not None:
                return cell
    raise ValueError(f"lattice {basis} is not a sublattice of a primitive or singly centred cell")


@cache
def minimal_supergroups(name: str) -> frozenset[tuple[str, Relation]]:
    """Types that have `name` among their maximal subgroups, and how ('t' or 'k'); itself where isomorphic."""
    own = group(name).name
    return frozenset((g, s.kind) for g in GROUP_NAMES for s in maximal_subgroups(g) if s.name == own)


@cache
def _types_below(name: str) -> frozenset[str]:
    found, fresh = {name}, [name]
    while fresh:
        for sub in maximal_subgroups(fresh.pop()):
            if sub.name not in found:
                found.add(sub.name)
                fresh.append(sub.name)
    return frozenset(found)


def is_subgroup(a: str, b: str) -> bool:
    """Whether a group of type `a` can be a subgroup of one of type `b` (every type is one of itself)."""
    return group(a).name in _types_below(group(b).name)
