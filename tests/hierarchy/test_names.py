"""A name on a screen, in a table and in a picture."""

from __future__ import annotations

import csv
import io
from unicodedata import category

import pytest
from hier.hierarchy.names import from_table, in_picture, in_table, on_screen
from hypothesis import given
from hypothesis import strategies as st

ANY = st.text(st.characters(), max_size=20)


@given(ANY)
def test_a_screen_shows_one_line_that_steers_nothing(name: str) -> None:
    assert not {category(c) for c in on_screen(name)} & {"Cc", "Cf", "Cs", "Zl", "Zp", "Cn", "Co"}


@given(ANY)
def test_a_table_gives_the_name_back_and_a_spreadsheet_computes_nothing(name: str) -> None:
    cell = in_table(name)
    assert from_table(cell) == name
    assert not {category(c) for c in cell} & {"Cc", "Cs"}
    assert not cell.lstrip().startswith(tuple("=+-@＝＋－＠"))
    line = io.StringIO()
    csv.writer(line).writerow([cell])
    assert next(csv.reader([line.getvalue()])) == [cell]


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("é 電.png", "é 電.png"), ("C:\\x\\udir.png", "C:\\x\\udir.png"), ("=1+1", "'=1+1"), ("'=1", "''=1"),
        (" -1", "' -1"), ("it's", "it's"), ("a\nb", r"a\x0ab"), ("caf\udce9", r"caf\udce9"), (r"\x0a", r"\x5cx0a"),
    ],
)  # fmt: skip
def test_what_a_cell_holds(name: str, cell: str) -> None:
    assert in_table(name) == cell
    assert from_table(cell) == name


@given(ANY)
def test_a_picture_has_no_mathematics(name: str) -> None:
    from matplotlib.cbook import is_math_text

    assert not is_math_text(in_picture(name))
