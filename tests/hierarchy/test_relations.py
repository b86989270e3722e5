"""Subgroup relations against facts of International Tables A1 and moyopy's enumeration."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, product

import moyopy
import pytest
from hier.hierarchy import (
    GROUP_NAMES,
    GROUPS,
    Operation,
    closure,
    identify,
    in_supercell,
    is_subgroup,
    maximal_subgroups,
    minimal_supergroups,
    subgroups_of,
)
from hier.hierarchy.identification import primitive
from hier.hierarchy.lattices import sublattices, transform

# International Tables A1, chapter 2.2: types of the maximal translationengleiche subgroups.
T_SUBGROUPS = {
    "p1": set(),
    "p2": {"p1"},
    "pm": {"p1"},
    "pg": {"p1"},
    "cm": {"p1"},
    "pmm": {"p2", "pm"},
    "pmg": {"p2", "pm", "pg"},
    "pgg": {"p2", "pg"},
    "cmm": {"p2", "cm"},
    "p4": {"p2"},
    "p4m": {"p4", "pmm", "cmm"},
    "p4g": {"p4", "pgg", "cmm"},
    "p3": {"p1"},
    "p3m1": {"p3", "cm"},
    "p31m": {"p3", "cm"},
    "p6": {"p3", "p2"},
    "p6m": {"p6", "p3m1", "p31m", "cmm"},
}

# The same, klassengleiche of index 2 and 3, the isomorphic ones included.
K_SUBGROUPS = {
    "p1": {("p1", 2), ("p1", 3)},
    "p2": {("p2", 2), ("p2", 3)},
    "pm": {("pm", 2), ("pg", 2), ("cm", 2), ("pm", 3)},
    "pg": {("pg", 2), ("pg", 3)},
    "cm": {("pm", 2), ("pg", 2), ("cm", 3)},
    "pmm": {("pmm", 2), ("pmg", 2), ("cmm", 2), ("pmm", 3)},
    "pmg": {("pmg", 2), ("pgg", 2), ("pmg", 3)},
    "pgg": {("pgg", 3)},
    "cmm": {("pmm", 2), ("pmg", 2), ("pgg", 2), ("cmm", 3)},
    "p4": {("p4", 2)},
    "p4m": {("p4m", 2), ("p4g", 2)},
    "p4g": set(),
    "p3": {("p3", 3)},
    "p3m1": {("p31m", 3)},
    "p31m": {("p3m1", 3)},
    "p6": {("p6", 3)},
    "p6m": {("p6m", 3)},
}


@pytest.mark.parametrize("name", GROUP_NAMES)
def test_types_are_those_of_international_tables(name: str) -> None:
    subs = maximal_subgroups(name)
    assert {s.name for s in subs if s.kind == "t"} == T_SUBGROUPS[name]
    assert {(s.name, s.index) for s in subs if s.kind == "k"} == K_SUBGROUPS[name]


@pytest.mark.parametrize("name", GROUP_NAMES)
def test_records_are_exact(name: str) -> None:
    for sub in maximal_subgroups(name):
        whole = in_supercell(GROUPS[name].operations, sub.cell)
        assert set(sub.operations) < set(whole)
        assert len(whole) == sub.index * len(sub.operations)
        assert closure(sub.operations) == sub.operations
        assert identify(sub.operations) == sub.name
        assert identify(whole) == name
        assert (sub.cell == ((1, 0), (0, 1))) or sub.kind == "k"
    records = [(s.cell, s.operations) for s in maximal_subgroups(name)]
    assert len(set(records)) == len(records)


@pytest.mark.parametrize("name", GROUP_NAMES)
def test_numbers_of_subgroups_are_moyopys(name: str) -> None:
    """Conjugates and other origins counted one by one, on a layer whose third axis is left alone."""
    ops = primitive(GROUPS[name].operations)
    rotations = [[[*op.W[0], 0], [*op.W[1], 0], [0, 0, 1]] for op in ops]
    translations = [[float(op.w[0]), float(op.w[1]), 0.0] for op in ops]
    expected: Counter[int] = Counter()
    for index in (2, 3):
        for (a, b), (c, d) in sublattices(index):
            if transform(ops, ((a, b), (c, d))) is None:
                continue
            cell = [[a, b, 0], [c, d, 0], [0, 0, 1]]
            for found in moyopy.enumerate_klassengleiche_subgroups(rotations, translations, cell):
                # Space groups may also gain a part along the third axis; a plane group has none.
                shifts = [s.subgroup.operations.translations for s in found.conjugates]
                expected[index] += sum(not any(t[2] % 1 for t in shift) for shift in shifts)
    assert Counter(s.index for s in maximal_subgroups(name) if s.kind == "k") == expected
    classes = moyopy.enumerate_translationengleiche_subgroups(rotations, translations)
    below = sum(len(c.conjugates) for c in classes if c.representative.depth == 1)
    assert sum(s.kind == "t" for s in maximal_subgroups(name)) == below


@pytest.mark.parametrize("name", ["pmg", "cmm", "p4m", "p31m", "p6m"])
def test_subgroups_are_found_as_by_trying_all_generators(name: str) -> None:
    """A plane point group and its subgroups need at most three generators, centring included."""
    ops = GROUPS[name].operations
    naive = {closure(chosen) for n in range(4) for chosen in combinations(ops, n)}
    found = subgroups_of(ops)
    assert set(found) == naive
    assert len(found) == len(naive)
    assert found[0] == ops
    assert found[-1] == (Operation(((1, 0), (0, 1))),)


def test_subgroups_of_a_cell_of_72_operations() -> None:
    ops = in_supercell(GROUPS["p4m"].operations, ((3, 0), (0, 3)))
    found = subgroups_of(ops)
    assert len(ops) == 72
    assert all(len(ops) % len(sub) == 0 for sub in found)
    assert {identify(sub) for sub in found} == {"p1", "p2", "pm", "cm", "pmm", "cmm", "p4", "p4m"}


def test_supergroups() -> None:
    assert minimal_supergroups("p1") == {(g, "t") for g in ("p2", "pm", "pg", "cm", "p3")} | {("p1", "k")}
    assert minimal_supergroups("p4g") == {("p4m", "k")}
    assert minimal_supergroups("p6m") == {("p6m", "k")}
    assert minimal_supergroups("p2mm") == {("cmm", "k"), ("p4m", "t"), ("pmm", "k")}


def test_subgroup_types() -> None:
    hexagonal = {"p3", "p3m1", "p31m", "p6", "p6m"}
    below = {b: {a for a in GROUP_NAMES if is_subgroup(a, b)} for b in GROUP_NAMES}
    assert below["p4m"] == set(GROUP_NAMES) - hexagonal
    assert below["p4g"] == set(GROUP_NAMES) - hexagonal - {"p4m"}
    assert below["p6m"] == set(GROUP_NAMES) - {"p4", "p4m", "p4g"}
    assert below["pgg"] == {"p1", "p2", "pg", "pgg"}
    assert all(is_subgroup("p1", b) and is_subgroup(b, b) for b in GROUP_NAMES)
    for a, b, c in product(GROUP_NAMES, repeat=3):
        assert not (a in below[b] and b in below[c]) or a in below[c]


def test_supercell_that_breaks_the_group_is_refused() -> None:
    with pytest.raises(ValueError, match=r"cell \(\(2, 0\), \(0, 1\)\)"):
        in_supercell(GROUPS["p4"].operations, ((2, 0), (0, 1)))
    with pytest.raises(ValueError, match="no area"):
        in_supercell(GROUPS["p1"].operations, ((1, 1), (1, 1)))
