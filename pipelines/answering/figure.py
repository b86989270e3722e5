"""A prediction shown: the figure with its caption, and the card in a notebook."""

from __future__ import annotations

import base64
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ...hierarchy import HierError, group
from ..drawing.beside import Beside
from ..drawing.overlay import Bend, Refused, Style, draw, encoded
from ..drawing.regions import Drawn, draw_regions
from ..drawing.symbols import Array
from ..reading.pixel_size import shown
from .cells import constrained
from .refused import NOT_PERIODIC, advice, level_in_words
from .symmetry import LatticeTried, SymmetryFound

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .results import Prediction

MOST = 5  # regions that the caption names


def plotted(found: Prediction, image: Tensor | None = None, style: Style | None = None) -> Figure:
    """The overlay of a prediction, on `image` (3, H, W), which is read again if it is not given.

    A scale bar is drawn where the size of a pixel is known. HierError if there is nothing to draw; ImageError if the
    file is gone.
    """
    pixel = found.pixel_size
    bar = None if pixel is None else (pixel.value, shown(pixel.unit))
    style = replace(style or Style(), pixel=bar, inside=found.judged)
    if found.regions and (image is not None or found.source is not None):
        return _regions_drawn(found, image, style)
    drawn = drawable(found)
    chosen = group(drawn.group) if isinstance(drawn, SymmetryFound) else None
    pinned = found.asked is not None and found.asked.origin is not None
    source, refused = found.source, _refused(found)
    if image is None and source is not None and (bent := bending(found)) is not None:
        original, bend = bent
        _, _, *plane = drawn.view
        original = source.whole() if source.window else original
        return draw(original, chosen, drawn.frame, caption(found), (plane[0], plane[1]), bend, pinned, refused, style)
    if found.judged is not None and (image is not None or source is not None):
        left, top, *plane = drawn.view
        whole = image if source is None or image is not None else source.whole()
        assert whole is not None
        corner = np.array([left, top])
        size = plane[0], plane[1]
        return draw(whole, chosen, drawn.frame, caption(found), size, lambda at: at + corner, pinned, refused, style)
    return draw(seen(found, image), chosen, drawn.frame, caption(found), pinned=pinned, refused=refused, style=style)


def bending(found: Prediction) -> tuple[Tensor, Bend] | None:
    """The image (3, H, W) as it is of one that was straightened, and what leads there from px of the view drawn."""
    source = found.source
    if source is None or (bent := source.bent()) is None:
        return None
    original, how = bent
    left, top, *_ = drawable(found).view
    begin = np.array(source.window[:2] if source.window else (0, 0))

    def bend(at: Array) -> Array:
        bent_to = how.original(torch.from_numpy(at + np.array([left, top])).float()).double()
        return np.asarray(bent_to + torch.from_numpy(begin))

    return original, bend


def _refused(found: Prediction) -> Refused | None:
    """What stands beside an image that is refused: its autocorrelation, with the lattice that was tried."""
    tried = found.tried
    if found.periodic or tried is None or found.source is None:
        return None
    analysis = found.source.analysis()
    beside = Beside.of(analysis.view.pixels, analysis.lattice.basis[0].double().cpu().numpy())
    if tried.best is None:
        return Refused(beside)
    left, top, width, height = tried.best
    sides = np.array([(0, 0), (width, 0), (width, height), (0, height)])
    return Refused(beside, sides + np.array([left - tried.view[0] - 0.5, top - tried.view[1] - 0.5]))


def _regions_drawn(found: Prediction, image: Tensor | None, style: Style) -> Figure:
    """The regions of a prediction, on the whole image."""
    from .words import percent

    if image is None:
        assert found.source is not None
        image = found.source.whole()
    some, lines = [], []
    for k, region in enumerate(found.regions, 1):
        answer = region.answer
        name = answer.group or answer.statement
        some.append(Drawn((region.outline, *region.holes), region.cell, f"{k} {name}"))
        lines.append(f"{k}  {name}   {percent(answer.probability)}   on {percent(region.share)} of the view")
    more = len(lines) - MOST
    lines = [*lines[:MOST], f"and {more} more"] if more > 0 else lines
    return draw_regions(image, some, [*lines, Path(found.file).name], style)


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
    """Group and probability, or that there is none; the cell; the file: three lines, four of a group as asked."""
    from .words import percent

    drawn = drawable(found)
    if isinstance(drawn, SymmetryFound):
        chosen = group(drawn.group)
        name = chosen.name if chosen.symbol == chosen.name else f"{chosen.name} ({chosen.symbol})"
        word = "" if found.confidence == "sure" else f"   {found.confidence}"
        lines = [f"{name}   {percent(found.probability)}{word}", cell_in_words(found, "   ")]
        if found.asked is not None and found.asked.group is not None:
            answer = found.group or found.statement
            lines = [
                f"{name} as asked",
                f"the answer is {answer}   {percent(found.probability)}",
                cell_in_words(found, "   "),
            ]
    else:
        head = found.statement if found.periodic else f"{NOT_PERIODIC}   {percent(1 - found.periodic_probability)}"
        lines = [head, f"{cell_in_words(found, '   ')}   {level_in_words(drawn.level)}", *advice(found)]
        if not found.periodic and found.source is not None:
            blue = "" if found.tried is None or found.tried.best is None else "; blue: where it repeats best"
            lines.append(f"right: the autocorrelation, with the points of that lattice{blue}")
    left, top, width, height = drawn.view
    if found.region is not None or (found.judged is not None and found.field is None):
        left, top, width, height = found.region or drawn.view
        part = f"   only {width} × {height} px from ({left}, {top})"
    else:
        part = f"   the middle {width} × {height} px" if left or top else ""
    straightened = [] if found.field is None or found.field.kind == "none" else [str(found.field)]
    gone = [f"left out: {one}" for one in found.left_out]
    return [*lines, f"{Path(found.file).name}{part}", *straightened, *gone]


def cell_in_words(found: Prediction, between: str = ", ") -> str:
    """Lattice system, `a`, `b` and gamma of the cell that is drawn, in px, and in the pixel's unit if known.

    Under what the group needs: one length of a square or hexagonal cell.
    """
    drawn = drawable(found)
    a, b = np.array(drawn.a), np.array(drawn.b)
    lengths = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    cell = *lengths, float(np.degrees(np.arccos(np.clip(a @ b / (lengths[0] * lengths[1]), -1, 1))))
    equal = False
    if isinstance(drawn, SymmetryFound):
        chosen = group(drawn.group)
        system = f"{'centred ' if chosen.centred else ''}{chosen.lattice_system} lattice"
        if found.asked is not None and found.asked.group is not None:  # the metric may be another
            system = f"{'centred ' if chosen.centred else ''}cell of {chosen.name}, as asked"
        cell = constrained(*cell, chosen.lattice_system)
        equal = cell[0] == cell[1]
    else:
        system = "lattice" if found.periodic else "lattice tried"
    parts = []
    for letter, length in zip("a" if equal else "ab", cell, strict=False):
        px = f"{length:.2f} px"
        pixel = found.pixel_size
        parts.append(f"{letter} = {px if pixel is None else f'{length * pixel.value:.4g} {shown(pixel.unit)} ({px})'}")
    return between.join((system, *parts, f"γ = {cell[2]:.1f}°"))


def card(found: Prediction) -> str:
    """HTML for a notebook: the answer in words, and the overlay if there is one and the image is available."""
    from .words import percent

    rows = "".join(
        f"<tr><td>{escape(step.level)}</td><td>{escape(step.choice)}</td><td>{escape(percent(step.probability))}</td></tr>"
        for step in found.path
    )
    title = found.group or found.statement
    probability = found.probability if found.periodic else 1 - found.periodic_probability
    words = f"<b>{escape(title)}</b> {escape(percent(probability))}<br>{escape(found.file)}<table>{rows}</table>"
    try:
        png = base64.b64encode(encoded(plotted(found), ".png")).decode()
    except HierError as error:
        return f"<div>{words}<small>{escape(str(error))}</small></div>"
    return f'<div>{words}<img alt="overlay" src="data:image/png;base64,{png}"></div>'
