"""The 17 groups: axioms, derived properties and names."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction

import pytest
from hier.hierarchy import GROUP_NAMES, GROUPS, Operation, UnknownNameError, closure, group
from hypothesis import given
from hypothesis import strategies as st

names = st.sampled_from(GROUP_NAMES)
entries = st.integers(-3, 3)
fractions = st.fractions(-2, 2, max_denominator=12)
# Shears and a reflection generate all integer matrices of determinant 1 and -1.
unimodular = st.tuples(entries, entries, st.sampled_from((1, -1))).map(
    lambda m: ((m[2], m[0]), (m[2] * m[1], 1 + m[0] * m[1]))
)
operations = st.builds(Operation, unimodular, st.tuples(fractions, fractions))

# International Tables A, chapter 2.2: order of the point group, its name, mirrors and glides of the diagrams.
FACTS = {
    "p1": (1, "1", 1, False, False, "oblique"),
    "p2": (2, "2", 2, False, False, "oblique"),
    "pm": (2, "m", 1, True, False, "rectangular"),
    "pg": (2, "m", 1, False, True, "rectangular"),
    "cm": (2, "m", 1, True, True, "rectangular"),
    "pmm": (4, "2mm", 2, True, False, "rectangular"),
    "pmg": (4, "2mm", 2, True, True, "rectangular"),
    "pgg": (4, "2mm", 2, False, True, "rectangular"),
    "cmm": (4, "2mm", 2, True, True, "rectangular"),
    "p4": (4, "4", 4, False, False, "square"),
    "p4m": (8, "4mm", 4, True, True, "square"),
    "p4g": (8, "4mm", 4, True, True, "square"),
    "p3": (3, "3", 3, False, False, "hexagonal"),
    "p3m1": (6, "3m", 3, True, True, "hexagonal"),
    "p31m": (6, "3m", 3, True, True, "hexagonal"),
    "p6": (6, "6", 6, False, False, "hexagonal"),
    "p6m": (12, "6mm", 6, True, True, "hexagonal"),
}


@pytest.mark.parametrize("name", GROUP_NAMES)
def test_derived_properties_are_those_of_international_tables(name: str) -> None:
    g = GROUPS[name]
    derived = (g.order, g.point_group, g.rotation_order, g.has_mirror, g.has_glide, g.lattice_system)
    assert derived == FACTS[name]
    assert g.has_reflection == (g.has_mirror or g.has_glide)
    assert g.centred == (name in ("cm", "cmm"))
    assert g.number == 1 + GROUP_NAMES.index(name)


@given(names, st.data())
def test_operations_form_a_group(name: str, data: st.DataObject) -> None:
    ops = GROUPS[name].operations
    element = st.sampled_from(ops)
    p, q, r = data.draw(element), data.draw(element), data.draw(element)
    assert p @ q in ops
    assert (p @ q) @ r == p @ (q @ r)
    assert p.inverse in ops
    assert p @ p.inverse == ops[0] == Operation(((1, 0), (0, 1)))
    assert len(set(ops)) == len(ops) == GROUPS[name].order * len(GROUPS[name].centring)


@given(operations, operations, st.tuples(fractions, fractions))
def test_composition_acts_as_one_map_after_the_other(p: Operation, q: Operation, x: tuple[Fraction, Fraction]) -> None:
    def move(op: Operation, v: tuple[Fraction, Fraction]) -> tuple[Fraction, Fraction]:
        (a, b), (c, d) = op.W
        return (a * v[0] + b * v[1] + op.w[0], c * v[0] + d * v[1] + op.w[1])

    once, twice = move(p @ q, x), move(p, move(q, x))
    assert all((s - t).denominator == 1 for s, t in zip(once, twice, strict=True))
    assert p.inverse @ p == Operation(((1, 0), (0, 1)))
    assert (p @ q).det == p.det * q.det


@given(operations)
def test_xyz_reads_back(op: Operation) -> None:
    assert Operation.from_xyz(op.xyz) == op


@pytest.mark.parametrize(
    ("xyz", "order", "kind"),
    [
        ("x,y", 1, "identity"),
        ("x+1/3,y", 3, "translation"),
        ("-x,-y", 2, "rotation"),
        ("-y+1/2,x", 4, "rotation"),
        ("x-y,x", 6, "rotation"),
        ("-x+1/2,y", 2, "mirror"),
        ("-x,y+1/2", 2, "glide"),
        ("y,x", 2, "mirror"),
        ("y+1/2,x+1/2", 2, "mirror"),  # times (0, -1) it fixes the line y = x - 1/2
        ("y+1/4,x+1/4", 4, "glide"),
    ],
)
def test_kind_and_order(xyz: str, order: int, kind: str) -> None:
    op = Operation.from_xyz(xyz)
    assert (op.order, op.kind(), op.xyz) == (order, kind, xyz)


def test_a_glide_of_the_cell_is_a_mirror_of_the_centred_lattice() -> None:
    glide = Operation.from_xyz("-x+1/2,y+1/2")
    assert glide.kind() == "glide"
    assert glide.kind(GROUPS["cm"].centring) == "mirror"


@pytest.mark.parametrize("text", ["x", "x,z", "x,y+", "x,1/0", "", "x y,y", "x,y,z"])
def test_unreadable_operation_is_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="operation") as caught:
        Operation.from_xyz(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("alias", "name"),
    [("p2mm", "pmm"), ("P2MG", "pmg"), ("p2gg", "pgg"), ("c2mm", "cmm"), ("p4mm", "p4m"), ("p4gm", "p4g"),
     ("p6mm", "p6m"), ("p1m1", "pm"), ("p11m", "pm"), ("c1m1", "cm"), ("p1g1", "pg"), ("p 4 g m", "p4g"),
     ("p31m", "p31m"), ("p3m1", "p3m1"), ("PGG", "pgg")],
)  # fmt: skip
def test_aliases(alias: str, name: str) -> None:
    assert group(alias) is GROUPS[name]


def test_unknown_group_names_value_and_near_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"'p3m'.*p3m1") as caught:
        group("p3m")
    assert {"p3m1", "p31m"} <= set(caught.value.near)


def test_closure_refuses_what_is_no_plane_group() -> None:
    with pytest.raises(ValueError, match=r"x\+y,y.*not symmetries of one lattice"):
        closure([Operation.from_xyz("x+y,y")])
    with pytest.raises(ValueError, match=r"'2x,y' has determinant 2"):
        closure([Operation.from_xyz("2x,y")])


def test_groups_import_nothing_heavy() -> None:
    code = (
        "import sys; from hier.hierarchy import GROUP_NAMES; "
        "print([m for m in ('numpy', 'networkx', 'pydantic', 'yaml', 'torch', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
