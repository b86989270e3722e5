"""Numbers formatted for readers."""

from __future__ import annotations


def percent(p: float) -> str:
    """A probability in per cent; 100 % only if it is exactly one."""
    if 0.9995 <= p < 1:
        return ">99.9 %"
    return f"{100 * p:.1f} %"
