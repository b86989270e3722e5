"""Recognising a group in any basis, cell and origin; moyopy's layer groups are the independent oracle."""

from __future__ import annotations

from fractions import Fraction

import moyopy
import pytest
from hier.hierarchy import GROUP_NAMES, GROUPS, Operation, identify, in_supercell, maximal_subgroups
from hier.hierarchy.identification import primitive
from hier.hierarchy.lattices import transform
from hypothesis import given, settings
from hypothesis import strategies as st

# The layer groups that move nothing across the layer (International Tables E) in the order of GROUP_NAMES.
LAYER_NUMBERS = dict(zip(GROUP_NAMES, (1, 3, 11, 12, 13, 23, 24, 25, 26, 49, 55, 56, 65, 69, 70, 73, 77), strict=True))

names = st.sampled_from(GROUP_NAMES)
entries = st.integers(-3, 3)
unimodular = st.tuples(entries, entries, st.sampled_from((1, -1))).map(
    lambda m: ((m[2], m[0]), (m[2] * m[1], 1 + m[0] * m[1]))
)
shifts = st.tuples(*[st.fractions(0, 1, max_denominator=24)] * 2)


def from_layer(operations: moyopy.Operations) -> list[Operation]:
    """The in-plane part of layer-group operations."""
    found = []
    for rotation, translation in zip(operations.rotations, operations.translations, strict=True):
        (a, b, _), (c, d, _), _ = rotation
        x, y, _ = (Fraction(t).limit_denominator(24) for t in translation)
        found.append(Operation(((a, b), (c, d)), (x, y)))
    return found


def layer_number(operations: tuple[Operation, ...]) -> int:
    """What moyopy makes of the operations, lifted to the space of a layer."""
    ops = primitive(operations)
    rotations = [[[*op.W[0], 0], [*op.W[1], 0], [0, 0, 1]] for op in ops]
    translations = [[float(op.w[0]), float(op.w[1]), 0.0] for op in ops]
    return int(moyopy.LayerGroup(rotations, translations).number)


def moved(operations: tuple[Operation, ...], shift: tuple[Fraction, Fraction]) -> tuple[Operation, ...]:
    """The operations seen from another origin."""
    there, back = Operation(((1, 0), (0, 1)), shift), Operation(((1, 0), (0, 1)), (-shift[0], -shift[1]))
    return tuple(back @ op @ there for op in operations)


@pytest.mark.parametrize("name", GROUP_NAMES)
def test_reads_every_setting_of_the_layer_groups(name: str) -> None:
    settings_read = 0
    for hall_number in range(1, 117):
        if moyopy.LayerHallSymbolEntry(hall_number).number == LAYER_NUMBERS[name]:
            setting = moyopy.LayerSetting.hall_number(hall_number)
            for cell in (False, True):
                ops = moyopy.operations_from_layer_number(LAYER_NUMBERS[name], setting=setting, primitive=cell)
                assert identify(from_layer(ops)) == name
            settings_read += 1
    assert settings_read


@pytest.mark.parametrize("name", GROUP_NAMES)
def test_is_read_as_the_same_layer_group(name: str) -> None:
    assert layer_number(GROUPS[name].operations) == LAYER_NUMBERS[name]
    assert len(primitive(GROUPS[name].operations)) == len(
        moyopy.operations_from_layer_number(LAYER_NUMBERS[name], primitive=True)
    )


@pytest.mark.parametrize("name", GROUP_NAMES)
def test_every_subgroup_is_read_as_the_same_layer_group(name: str) -> None:
    for sub in maximal_subgroups(name):
        assert layer_number(sub.operations) == LAYER_NUMBERS[sub.name]


@given(names, unimodular, shifts)
def test_type_depends_on_neither_basis_nor_origin(name, basis, shift) -> None:  # type: ignore[no-untyped-def]
    for start in (GROUPS[name].operations, primitive(GROUPS[name].operations)):
        seen = transform(moved(start, shift), basis)
        assert seen is not None
        assert identify(seen) == name


@settings(max_examples=40)
@given(names, st.integers(2, 3), unimodular, shifts)
def test_type_does_not_depend_on_the_cell(name, size, basis, shift) -> None:  # type: ignore[no-untyped-def]
    larger = in_supercell(GROUPS[name].operations, ((size, 0), (0, size)))
    assert len(larger) == size**2 * len(GROUPS[name].operations)
    seen = transform(moved(larger, shift), basis)
    assert seen is not None
    assert identify(seen) == name


@pytest.mark.parametrize(
    ("name", "xyz"),
    [
        ("pm", ["x,y", "x,-y"]),
        ("pg", ["x,y", "x+1/2,-y"]),
        ("cm", ["x,y", "-y,-x"]),
        ("cm", ["x,y", "y+1/2,x+1/2"]),
        ("pmg", ["x,y", "-x,-y", "x,-y+1/2", "-x,y+1/2"]),
        ("cmm", ["x,y", "-x,-y", "y,x", "-y,-x"]),
        ("p2", ["x,y", "-x+1/3,-y+1/7"]),
        ("pm", ["x,y", "-x,y", "x+1/2,y", "-x+1/2,y"]),  # doubled along the normal
        ("pm", ["x,y", "-x,y", "x,y+1/2", "-x,y+1/2"]),  # doubled along the axis: the glide is a mirror
        ("p31m", ["x,y", "-y,x-y", "-x+y,-x", "y,x", "-x,-x+y", "x-y,-y"]),
        ("p3m1", ["x,y", "-y,x-y", "-x+y,-x", "-y,-x", "x,x-y", "-x+y,y"]),
    ],
)
def test_settings_of_the_other_axis(name: str, xyz: list[str]) -> None:
    assert identify([Operation.from_xyz(text) for text in xyz]) == name


def test_incomplete_set_names_the_missing_product() -> None:
    with pytest.raises(ValueError, match=r"'-y,x' times '-y,x' is '-x,-y'.*closure"):
        identify([Operation.from_xyz("x,y"), Operation.from_xyz("-y,x")])
    with pytest.raises(ValueError, match="no operations"):
        identify([])
