"""Layer groups and their projections: moyopy has the operations of all 80, which are projected here."""

from __future__ import annotations

from fractions import Fraction

import moyopy
import pytest
from hier.hierarchy import GROUP_NAMES, Operation, UnknownNameError, closure, identify
from hier.hierarchy.layers import layer_groups

ALL = {layer.number: (name, layer) for name in GROUP_NAMES for layer in layer_groups(name)}


def in_plane(number: int) -> tuple[tuple[Operation, ...], set[tuple[Fraction, Fraction]]]:
    """The operations as they are seen from above, and the translations among those that turn nothing over."""
    found, kept = [], set()
    operations = moyopy.operations_from_layer_number(number)
    for rotation, translation in zip(operations.rotations, operations.translations, strict=True):
        (a, b, _), (c, d, _), (_, _, up) = rotation
        x, y, _ = (Fraction(t).limit_denominator(24) for t in translation)
        found.append(Operation(((a, b), (c, d)), (x, y)))
        if up == 1 and ((a, b), (c, d)) == ((1, 0), (0, 1)):
            kept.add((x, y))
    return closure(found), kept


@pytest.mark.parametrize("number", range(1, 81))
def test_each_layer_group_stands_under_its_projection(number: int) -> None:
    name, layer = ALL[number]
    seen, kept = in_plane(number)
    assert identify(seen) == name
    assert layer.symbol == moyopy.LayerGroupType(number).hm_short.replace(" ", "")
    translations = [op for op in seen if op.W == ((1, 0), (0, 1))]
    assert layer.larger == (len(translations) > len(kept))
    assert len(translations) in (len(kept), 2 * len(kept))
    up = {rotation[2][2] for rotation in moyopy.operations_from_layer_number(number).rotations}
    assert layer.polar == (up == {1})


def test_there_are_80_of_which_one_a_group_is_polar() -> None:
    assert sorted(ALL) == list(range(1, 81))
    assert all(sum(layer.polar for layer in layer_groups(name)) == 1 for name in GROUP_NAMES)


def test_other_spellings_and_no_group() -> None:
    assert layer_groups("p2mg") == layer_groups("pmg")
    with pytest.raises(UnknownNameError):
        layer_groups("p5")
