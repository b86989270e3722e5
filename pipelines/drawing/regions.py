"""The regions of an image drawn on it: the outline of each, its holes, its cell, its number and group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from ...hierarchy.names import in_picture
from .colours import CELL, HALO, INK, SHADOW
from .lettering import DPI, MARGIN, ROW, draw_bar, wrapped, write_lines
from .overlay import INCH, LONGER, NARROWEST, SHORTER, Style, dots

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Ring = Sequence[tuple[float, float]]
# easily told apart, by the colour-blind too: P. Tol's bright scheme
COLOURS = ("#EE6677", "#66CCEE", "#CCBB44", "#228833", "#AA3377", "#4477AA", "#BBBBBB")


@dataclass(frozen=True)
class Drawn:
    """A region: the rings about it and its holes, and the corners of its cell, in px of the image; what to write."""

    rings: Sequence[Ring]
    cell: Ring
    text: str


def draw_regions(image: Tensor, regions: Sequence[Drawn], caption: Sequence[str], style: Style | None = None) -> Figure:
    """`regions` on `image` (3, H, W) in [0, 1]; `caption` its lines in the margin."""
    from matplotlib.figure import Figure  # later: it takes a while to import

    _, height, width = image.shape
    style = style or Style()
    zoom = float(np.clip(2.0, SHORTER / max(width, height), max(LONGER / max(width, height), 1.0)))
    zoom = zoom if style.width is None else style.width / INCH * DPI / width
    shown = zoom * width, zoom * height
    across = max(shown[0], NARROWEST) if style.width is None and style.caption else shown[0]
    lines = wrapped(caption, across, 0.0) if style.caption else []
    band = 2 * MARGIN + ROW * (len(lines) + 0.25) if lines else 0.0
    size = across, shown[1] + band
    figure = Figure((size[0] / DPI, size[1] / DPI), dpi=dots(style, zoom, max(size)))
    left = (size[0] - shown[0]) / 2
    axes = figure.add_axes((left / size[0], band / size[1], shown[0] / size[0], shown[1] / size[1]))
    axes.imshow(np.clip(image.permute(1, 2, 0).numpy(), 0, 1), interpolation="nearest")
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    axes.set_axis_off()
    for k, region in enumerate(regions):
        _draw(axes, region, COLOURS[k % len(COLOURS)], k + 1)
    if style.pixel is not None:
        draw_bar(axes, *style.pixel, zoom, style.inside)
    if lines:
        margin = figure.add_axes((0, 0, 1, band / size[1]))
        margin.set(xlim=(0, size[0]), ylim=(band, 0))
        margin.set_axis_off()
        write_lines(margin, lines)
    return figure


def _draw(axes: Axes, region: Drawn, colour: str, number: int) -> None:
    from matplotlib.patches import Polygon
    from matplotlib.patheffects import withStroke

    points = 72 / DPI
    for ring in region.rings:
        for ink, wide in ((HALO, 6.5), (colour, 4.0)):
            axes.add_patch(Polygon(np.array(ring), fill=False, ec=ink, lw=wide * points, gid=f"region-{number}"))
    if not region.cell:
        return
    cell = np.array(region.cell)
    for ink, wide in ((SHADOW, 6.0), (CELL, 3.6)):
        axes.add_patch(Polygon(cell, fill=False, ec=ink, lw=wide * points, joinstyle="miter", gid=f"cell-{number}"))
    x, y = cell.mean(0).tolist()
    axes.text(
        x, y, in_picture(region.text), color=INK, fontsize=12, weight="bold", ha="center", va="center",
        zorder=4, path_effects=[withStroke(linewidth=3.5, foreground=HALO)],
    )  # fmt: skip
