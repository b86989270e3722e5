"""Boundaries between domains: drawn where lattices differ that are clear, and not where windows read across."""

from __future__ import annotations

import numpy as np
import pytest
from hier.pipelines.field.domains import domains
from hier.pipelines.field.measure import FieldMap

WINDOW, COLUMNS = 64, 9
CELL = np.diag([12.0, 14.0])
OTHER = np.array([[9.0, -9.0], [9.0, 9.0]])


def field(level: list[float], other: list[bool]) -> FieldMap:
    """One row of windows side by side that all show p1, some of them on another lattice."""
    basis = np.where(np.array(other)[None, :, None, None], OTHER, CELL)
    ticks = WINDOW * np.arange(COLUMNS) + 31.5
    one = np.ones((1, COLUMNS))
    log = np.log(np.full((1, COLUMNS, 2), [0.98, 0.02]))
    levels = np.array(level)[None]
    return FieldMap(("p1", "p2"), WINDOW, np.array([31.5]), ticks, log, one, basis, levels, one > 0, 0)


@pytest.mark.parametrize(("level", "drawn"), [(0.9, True), (0.62, True), (0.5, False), (0.1, False)])
def test_a_lattice_that_hardly_repeats_proves_no_boundary(level: float, drawn: bool) -> None:
    """One window reads another lattice: a domain of its own if that repeats, else what noise suggested."""
    odd = [k == 4 for k in range(COLUMNS)]
    found = domains(field([level if k else 0.9 for k in odd], odd))
    assert (found.group == 0).all()
    assert found.right[0].tolist() == [drawn and k in (3, 4) for k in range(COLUMNS)]
    assert not found.below.any()


def test_two_domains_of_one_group_are_parted_by_their_lattices() -> None:
    found = domains(field([0.9] * COLUMNS, [k > 5 for k in range(COLUMNS)]))
    assert found.right[0].tolist() == [k == 5 for k in range(COLUMNS)]
