"""Errors a user can cause."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class HierError(ValueError):
    """Something a user gave that cannot be used: the message says what, where and what to do."""


class UnknownNameError(HierError):
    """A name that is not among the known ones; the message gives the value, near names and the way out."""

    def __init__(self, what: str, value: object, known: Iterable[str], hint: str = "") -> None:
        """Say that `value` is no `what` among `known`."""
        known = tuple(known)
        near = get_close_matches(str(value), known, n=3, cutoff=0.5)
        advice = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
        super().__init__(f"unknown {what} {value!r}: {advice}{hint}")
        self.value = value
        self.near = tuple(near)
