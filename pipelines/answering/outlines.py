"""Where a prediction's cell and symmetry elements lie on the image as it is, as points: for other programs to draw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...hierarchy import group
from ..drawing.overlay import STEPS, Elements, Scale
from ..drawing.symbols import Array, Segment
from .figure import bending, drawable
from .symmetry import SymmetryFound

if TYPE_CHECKING:
    from .results import Prediction


@dataclass(frozen=True)
class Outlines:
    """Points (N, 2), (x, y) in px of the whole image, (0, 0) the middle of its first pixel.

    `cell` goes around one cell from its origin, along a first. `lattice`, `mirrors` and `glides` are lines, `centres`
    the rotation centres of each order. A straight line has two points, one that is bent has more.
    """

    cell: Array
    lattice: tuple[Array, ...]
    mirrors: tuple[Array, ...]
    glides: tuple[Array, ...]
    centres: dict[int, Array]


def outlines(found: Prediction) -> Outlines:
    """The outlines of a prediction made with ``symmetry=True``; HierError if there are none, or its image is gone."""
    drawn = drawable(found)
    chosen = group(drawn.group) if isinstance(drawn, SymmetryFound) else None
    pinned = found.asked is not None and found.asked.origin is not None
    _, _, width, height = drawn.view
    elements = Elements.of(chosen, drawn.frame, Scale.of(drawn.frame, width, height), width, height, pinned=pinned)
    to_image, bent = _onto_image(found)

    def line(segment: Segment) -> Array:
        return to_image(np.linspace(segment.start, segment.end, STEPS if bent else 2))

    corners = elements.cell
    around = zip(corners, np.roll(corners, -1, 0), strict=True)
    cell = to_image(np.concatenate([np.linspace(a, b, STEPS, endpoint=False) for a, b in around]) if bent else corners)
    orders = sorted({order for order, _ in elements.centres})
    return Outlines(
        cell,
        tuple(line(segment) for segment in elements.lattice),
        tuple(line(segment) for segment in elements.lines if not segment.glide),
        tuple(line(segment) for segment in elements.lines if segment.glide),
        {n: to_image(np.array([at for order, at in elements.centres if order == n])) for n in orders},
    )


def _onto_image(found: Prediction) -> tuple[Callable[[Array], Array], bool]:
    """From px of the view that is drawn to px of the whole image, and whether that bends."""
    bent = bending(found)
    if bent is not None:
        return bent[1], True
    left, top, *_ = drawable(found).view
    corner = np.array([left, top], dtype=float)
    return lambda at: at + corner, False
