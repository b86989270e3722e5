"""The console of rich, for texts that hold names which others chose."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from ..hierarchy.names import SIGNS, on_screen

_TO_ASCII = str.maketrans(SIGNS)


def named(name: object, style: str = "") -> Text:
    """A name that others chose, for rich."""
    return Text(on_screen(name), style)


class Screen(Console):
    """A rich console for names: texts are no markup, and signs that the output lacks are ASCII when they are laid out.

    Texts of several lines keep them: what others chose goes through `named` or `on_screen` first.
    """

    def __init__(self, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """As rich has it, with control characters escaped."""
        shown = "\n".join(map(on_screen, text.split("\n")))
        return super().render_str(shown.translate(_TO_ASCII) if self.options.ascii_only else shown, **options)
