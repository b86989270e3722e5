"""Errors a user can cause."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class HierError(ValueError):
    """User input that cannot be used: the message says what, where and what to do."""


class UnknownNameError(HierError):
    """An unknown name; the message gives the value, similar names and what to do."""

    def __init__(self, what: str, value: object, known: Iterable[str], hint: str = "") -> None:
        """Say that `value` is not one of the `known` names of a `what`."""
        known = tuple(known)
        near = get_close_matches(str(value), known, n=3, cutoff=0.5)
        advice = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
        super().__init__(f"unknown {what} {value!r}: {advice}{hint}")
        self.value = value
        self.near = tuple(near)
