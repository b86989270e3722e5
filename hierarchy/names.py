r"""How a name that others chose is said: on a screen, in a table, in a picture.

Files, labels and data sets may bear any name: control characters that steer a terminal, line ends that forge a line of
ours, bytes that are not UTF-8, formulas of a spreadsheet, mathematics of matplotlib.

>>> on_screen("scan\x1b[2J.png\nhier: all is well")
'scan\\x1b[2J.png\\nhier: all is well'
>>> in_table("=cmd|' /C calc'!A0"), from_table(in_table("=cmd|' /C calc'!A0"))
("'=cmd|' /C calc'!A0", "=cmd|' /C calc'!A0")
"""

from __future__ import annotations

import re
from unicodedata import category

ESCAPE = re.compile(r"\\(x[0-9a-f]{2}|ud[89a-f][0-9a-f]{2})")
FORMULA = re.compile(r"'*\s*[=+\-@＝＋－＠]")  # how a cell begins that a spreadsheet computes
SIGNS = {  # what an output in ASCII shows instead, of the length that it has there where that is possible
    "…": ".", "·": ",", "×": "x", "–": "-", "→": "->", "°": " deg", "γ": "gamma", "█": "#", "░": "-",
}  # fmt: skip


def on_screen(name: object) -> str:
    """A text on one line of a terminal or a log: what is no letter, sign or space stands as Python writes it."""
    text = str(name)
    return text if text.isprintable() else "".join(map(_shown, text))


def in_table(name: str) -> str:
    r"""A text as a cell of a CSV table: on one line, valid UTF-8, and no formula; `from_table` gives it back.

    Control characters and lone surrogates stand as ``\x0a`` and ``\udce9``; before what a spreadsheet would compute
    stands an apostrophe.
    """
    text = ESCAPE.sub(lambda found: rf"\x5c{found[1]}", name)
    text = "".join(_escaped(c) if category(c) in ("Cc", "Cs") else c for c in text)
    return f"'{text}" if FORMULA.match(text) else text


def from_table(cell: str) -> str:
    """The text that `in_table` wrote."""
    text = cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell
    return ESCAPE.sub(lambda found: chr(int(found[1][1:], 16)), text)


def in_picture(name: object) -> str:
    """A text for matplotlib: as `on_screen`, and no mathematics."""
    return on_screen(name).replace("$", r"\$")


def _shown(character: str) -> str:
    if character.isprintable() or category(character) == "Zs":
        return character
    return repr(character)[1:-1]


def _escaped(character: str) -> str:
    return rf"\x{ord(character):02x}" if ord(character) < 0x100 else rf"\u{ord(character):04x}"
