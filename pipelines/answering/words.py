"""Numbers as people read them."""

from __future__ import annotations


def percent(p: float) -> str:
    """A probability as people read it; never 100 % unless it is."""
    if 0.9995 <= p < 1:
        return ">99.9 %"
    return f"{100 * p:.1f} %"
