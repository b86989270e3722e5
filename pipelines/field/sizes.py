"""Sides of windows that can be measured: without torch, so that a mistake is told at once."""

from __future__ import annotations

from ...hierarchy import HierError

SMALLEST, LARGEST = 32, 512  # px: sides of a window


def check_window(window: int, stride: int) -> None:
    """HierError for a side or a stride, in px, that no map can have."""
    if not SMALLEST <= window <= LARGEST:
        raise HierError(f"--window {window}: give {SMALLEST} to {LARGEST} px")
    if not 1 <= stride <= window:
        raise HierError(f"--stride {stride}: give 1 to {window} px, the window's side; more would leave gaps")
