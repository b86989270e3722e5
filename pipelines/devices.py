"""The devices that torch offers, and whether hier works on them."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..hierarchy import HierError

CLEAR = 0.9  # least level of the lattice in a pattern that is exact


def fastest(tell: Callable[[str], None] = lambda line: None) -> str:
    """The fastest device on which hier works; `tell` is called with a line for one that is there and does not."""
    offered = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    for device in (device for device, there in offered.items() if there):
        if (found := problem(device)) is None:
            return device
        tell(f"not using device {device!r}: {found}")
    return "cpu"


def problem(device: str) -> str | None:
    """What goes wrong when a small pattern is drawn and analysed on a device, in one sentence; None if nothing does.

    That a device is there does not mean that its driver works, or that it has every operation.
    """
    try:
        if torch.device(device) == torch.device("cpu"):
            return None
        from ..datasets import PatternDataset
        from ..models.evidence.representation import SymmetryEvidence

        found = SymmetryEvidence()(PatternDataset("atoms", seed=0, size=64).batch([0], device))
        level = float(found.lattice.level)
    except (RuntimeError, AssertionError, ImportError, TypeError, HierError) as error:
        return (str(error) or type(error).__name__).splitlines()[0].partition(". ")[0]
    return None if level > CLEAR else f"it finds no lattice in a pattern (level {level:.2f}, not {CLEAR} or more)"
