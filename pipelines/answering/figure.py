"""A prediction shown: the figure with its caption, and the card in a notebook."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ...hierarchy import HierError, group
from ..drawing.overlay import draw, encoded
from ..drawing.symbols import Array
from ..reading.pixel_size import shown
from .symmetry import LatticeTried, SymmetryFound

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .results import Prediction


def plotted(found: Prediction, image: Tensor | None = None) -> Figure:
    """The overlay of a prediction, on `image` (3, H, W), which is read again if it is not given.

    HierError if there is nothing to draw; ImageError if the file is gone.
    """
    drawn = drawable(found)
    chosen = group(drawn.group) if isinstance(drawn, SymmetryFound) else None
    source = found.source
    if image is None and source is not None and (bent := source.bent()) is not None:
        original, how = bent
        left, top, *plane = drawn.view

        def bend(at: Array) -> Array:
            return np.asarray(how.original(torch.from_numpy(at + np.array([left, top])).float()).double())

        return draw(original, chosen, drawn.frame, caption(found), (plane[0], plane[1]), bend)
    return draw(seen(found, image), chosen, drawn.frame, caption(found))


def drawable(found: Prediction) -> SymmetryFound | LatticeTried:
    """The symmetry to draw, or the lattice alone. Raises HierError, which says why there is neither."""
    if found.symmetry is not None:
        return found.symmetry
    if found.tried is not None:
        return found.tried
    raise HierError(
        f"{found.file}: nothing to draw: the image is of one colour, or no symmetry elements were asked for (predict "
        "with symmetry=True)"
    )


def seen(found: Prediction, image: Tensor | None = None) -> Tensor:
    """The part of the image (3, h, w) that was analysed."""
    left, top, width, height = drawable(found).view
    if image is None:
        if found.source is None:
            raise HierError(f"{found.file}: the source of its image is unknown; pass the image")
        image = found.source.read()
    return image[:, top : top + height, left : left + width]


def caption(found: Prediction) -> list[str]:
    """Group and probability, or that there is none; the cell; the file: three lines."""
    from .words import percent

    drawn = drawable(found)
    if isinstance(drawn, SymmetryFound):
        chosen = group(drawn.group)
        name = chosen.name if chosen.symbol == chosen.name else f"{chosen.name} ({chosen.symbol})"
        lines = [f"{name}   {percent(found.probability)}", cell_in_words(found, "   ")]
    else:
        head = found.statement if found.periodic else f"not periodic   {percent(1 - found.periodic_probability)}"
        level = f"the image repeats on it with a correlation of {drawn.level:.2f}"
        lines = [head, f"{cell_in_words(found, '   ')}   {level}"]
    left, top, width, height = drawn.view
    if found.region is not None:
        part = f"   only {width} × {height} px from ({left}, {top})"
    elif found.field is not None and found.field.kind != "none":
        part = f"   {found.field}"
    else:
        part = f"   the middle {width} × {height} px" if left or top else ""
    return [*lines, f"{Path(found.file).name}{part}"]


def cell_in_words(found: Prediction, between: str = ", ") -> str:
    """Lattice system, `a`, `b` and gamma of the cell that is drawn, in px, and in the pixel's unit if known."""
    drawn = drawable(found)
    if isinstance(drawn, SymmetryFound):
        chosen = group(drawn.group)
        system = f"{'centred ' if chosen.centred else ''}{chosen.lattice_system} lattice"
    else:
        system = "lattice" if found.periodic else "lattice tried"
    a, b = np.array(drawn.a), np.array(drawn.b)
    lengths = np.linalg.norm(a), np.linalg.norm(b)
    gamma = np.degrees(np.arccos(np.clip(a @ b / (lengths[0] * lengths[1]), -1, 1)))
    parts = []
    for letter, length in zip("ab", lengths, strict=True):
        px = f"{length:.2f} px"
        pixel = found.pixel_size
        parts.append(f"{letter} = {px if pixel is None else f'{length * pixel.value:.4g} {shown(pixel.unit)} ({px})'}")
    return between.join((system, *parts, f"γ = {gamma:.1f}°"))


def card(found: Prediction) -> str:
    """HTML for a notebook: the answer in words, and the overlay if there is one and the image is available."""
    from .words import percent

    rows = "".join(
        f"<tr><td>{escape(step.level)}</td><td>{escape(step.choice)}</td><td>{escape(percent(step.probability))}</td></tr>"
        for step in found.path
    )
    title = found.group or found.statement or "not periodic"
    probability = found.probability if found.periodic else 1 - found.periodic_probability
    words = f"<b>{escape(title)}</b> {escape(percent(probability))}<br>{escape(found.file)}<table>{rows}</table>"
    try:
        png = base64.b64encode(encoded(plotted(found), ".png")).decode()
    except HierError as error:
        return f"<div>{words}<small>{escape(str(error))}</small></div>"
    return f'<div>{words}<img alt="overlay" src="data:image/png;base64,{png}"></div>'
