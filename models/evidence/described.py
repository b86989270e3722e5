"""What each channel and each number of `representation` is, in words: for those who run a node elsewhere."""

from __future__ import annotations

from .groups import EDGES, FRC, GROUPS
from .maps import MAPS, WEIGHTINGS

FINER = ("b/2", "a/2", "(a+b)/2", "b/3", "a/3", "(a+b)/3", "(a+2b)/3")  # as `maps.finer_correlations` has them


def channel_names() -> tuple[str, ...]:
    """Of the channels of ``maps``: an operation, for every place of its centre or axis, and the reflections used."""
    return tuple(f"{name}, {weighting}" for name, *_ in MAPS for weighting in WEIGHTINGS)


def number_names() -> tuple[str, ...]:
    """Of the entries of ``numbers``."""
    ring_names = [f"ring {EDGES[k]:g} to {EDGES[k + 1]:g}" for k in range(FRC)]
    return (
        *(f"highest of {name}" for name in channel_names()),
        *(f"strain of {name}" for name, *_ in MAPS),
        *(f"noise, {weighting}" for weighting in WEIGHTINGS),
        *(f"moved by {step}, {weighting}" for step in FINER for weighting in WEIGHTINGS),
        "how well the lattice repeats",
        "how well the lattice repeats beside a finer one",
        "area of the cell",
        *(f"{group}, {what}" for group in GROUPS for what in ("worst operation", "mean", *ring_names)),
        *(f"strain of {group}" for group in GROUPS),
        *(f"noise in {name}" for name in ring_names),
    )
