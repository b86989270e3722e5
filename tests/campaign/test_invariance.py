"""The short form of `invariance.py`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from invariance import CHANGES, Found, compared, run

CELL = (40.0, 50.0, 2000.0)


@pytest.mark.slow
def test_what_must_not_change_an_answer_does_not() -> None:
    found = run(20, seed=1)
    assert found["comparisons"] == 20 * (len(CHANGES) + 4)
    assert found["held"], found["failures"]


@pytest.mark.parametrize(
    ("after", "change", "what"),
    [
        (("p4", 0.9, *CELL), "mirrored", None),
        (("p2", 0.9, *CELL), "mirrored", "group"),
        (("p4", 0.9, 40.2, 50.0, 2000.0), "mirrored", "cell"),
        (("p4", 0.9, 80.0, 100.0, 8000.0), "doubled size", None),
        (("p4", 0.9, *CELL), "doubled size", "cell"),
        (("p4", 0.8, *CELL), "mirrored", None),
        (("p4", 0.8, *CELL), "alone", "probability"),
    ],
)
def test_differences_are_found(after: Found, change: str, what: str | None) -> None:
    assert compared(("p4", 0.9, *CELL), after, change) == what
