"""A field map as SVG or PDF: lines stay lines, axes are in the pixel's unit, with a scale bar where it is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...hierarchy.files import output
from ...hierarchy.names import in_picture
from ..drawing.lettering import round_length
from ..marks import save_figure
from ..reading.pixel_size import PixelSize, shown
from .domains import Domains
from .measure import FieldMap
from .plot import GREY, boundary_lines, colour, direction_lines, painted, shares, shrunk

WIDE, DPI = 6.3, 300  # inches of the map; px to the inch of the picture below the lines
BAR = 0.25  # of the width: longest scale bar


def draw_vector(array: NDArray[Any], found: FieldMap, what: Domains, pixel: PixelSize | None, path: Path) -> None:
    """Draw the map of the micrograph `array` to `path`, .svg or .pdf. HierError when it cannot be written."""
    from matplotlib import rc_context
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    base, scale = shrunk(array)
    (height, width), unit = base.shape, "px" if pixel is None else shown(pixel.unit)
    step = scale * (1.0 if pixel is None else pixel.value)
    picture, rows, columns = painted(base, scale, found, what)
    figure = Figure((WIDE + 2.0, WIDE * height / width + 0.7), layout="constrained")
    axes = figure.subplots()
    axes.imshow(picture, extent=(0, width * step, height * step, 0), interpolation="nearest")
    for lines, ink, thick in (
        (boundary_lines(rows, columns, what), "white", 1.6),
        (direction_lines(found, what, scale), "white", 1.0),
    ):
        for colours, wide in (("black", thick + 1.0), (ink, thick)):
            axes.add_collection(LineCollection([np.array(line) * step for line in lines], colors=colours, lw=wide))
    axes.set(xlabel=f"x / {unit}", ylabel=f"y / {unit}", xlim=(0, width * step), ylim=(height * step, 0))
    key = [
        Patch(
            fc=np.array(GREY if k < 0 else colour(k)) / 255,
            label=f"{in_picture('not periodic' if k < 0 else found.labels[k])}  {100 * share:.1f} %",
        )
        for k, share in shares(what)
    ]
    figure.legend(handles=key, loc="outside right upper", title="group, share of field", frameon=False)
    if pixel is not None:
        _bar(axes, width * step, height * step, unit)
    kind = path.suffix.lower()
    with output(path) as file, rc_context({"svg.fonttype": "none", "svg.hashsalt": "hier", "pdf.fonttype": 42}):
        save_figure(figure, file, kind, dpi=DPI, facecolor="white")


def _bar(axes: Any, width: float, height: float, unit: str) -> None:
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    length, high = round_length(BAR * width), 0.012 * height
    x, y = 0.97 * width - length, 0.96 * height
    axes.add_patch(Rectangle((x, y), length, high, fc="black", ec="white", lw=1, zorder=5, gid="bar"))
    axes.text(
        x + length / 2, y - 0.6 * high, f"{length:g} {unit}", ha="center", va="bottom", weight="bold", zorder=5,
        path_effects=[withStroke(linewidth=3, foreground="white")],
    )  # fmt: skip
