"""An image that is not periodic: the lattice that was tried, where the image repeats best, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .results import Prediction

NOT_PERIODIC = "not periodic"
FEW = 9.0  # cells in view, fewer of which are hard to tell from chance


def level_in_words(level: float) -> str:
    """How well an image repeats on a lattice that was tried."""
    return f"the image repeats on it with a correlation of {level:.2f}"


def advice(found: Prediction, explained: bool = False) -> Iterator[str]:
    """What to do next about an image that is refused, a line each; nothing about one with a pattern.

    `explained` leaves out `hier explain`.
    """
    if found.periodic:
        return
    tried = found.tried
    if tried is None:
        if found.scores:
            yield "no lattice was found to try: nothing in the image comes again"
        else:
            yield "next: --overlay FILE.png shows the lattice that was tried and where the image repeats best"
        return
    cells = tried.view[2] * tried.view[3] / abs(float(np.linalg.det(np.array([tried.a, tried.b]))))
    if cells < FEW:
        yield f"only {cells:.1f} cells are in view: take a field with {FEW:.0f} or more"
    if tried.best is not None:
        left, top, width, height = tried.best
        yield (
            f"it repeats best in {width} x {height} px from ({left}, {top}): "
            f"--crop {left},{top},{width},{height} judges that part alone"
        )
    more = "" if explained else "; hier explain says what refused the image"
    yield f"--basis ax,ay,bx,by judges a lattice that you see{more}"
