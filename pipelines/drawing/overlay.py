"""A group's cell, lattice and symmetry elements drawn on the image, as PNG, SVG or PDF.

Symbols and lines are those of International Tables (`symbols`); each stands on a light halo, so that it is seen on
dark and on bright ground. The unit cell has its origin where the tables have it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from ...hierarchy import UnknownNameError, WallpaperGroup
from ...hierarchy.files import output
from ...hierarchy.names import in_picture
from ..marks import save_figure
from .symbols import (
    ORDERS,
    Array,
    Frame,
    Segment,
    centres_within,
    cut,
    lattice_lines,
    lines_within,
    symbol,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".pdf")
DPI = 100  # of a PNG; all lengths below are in its px
SHORTER, LONGER = 720.0, 1500.0  # the image's longer side as drawn
ROOMY = 90.0  # a cell is enlarged to this height if the image can be
CROWDED, MANY = 64.0, 40  # lower cells, or more, show their symmetry elements in the middle of the image only
DENSE = 9.0  # cells lower than this are not outlined one by one
BLOCK = 3  # cells along each axis of that middle
NARROWEST, MARGIN, ROW = 560.0, 14.0, 27.0
DASHES = 7.0, 4.5  # points
STEPS = 32  # of a line that is bent
INK, LINES, CELL, HALO = "#111111", "#c2005f", "#ffd21f", "white"


@dataclass(frozen=True)
class Scale:
    """How large things are drawn: `zoom` px of the figure for one px of the image, and px of the figure."""

    zoom: float
    symbol: float
    line: float
    everywhere: bool
    lattice: bool

    @classmethod
    def of(cls, frame: Frame, width: int, height: int) -> Scale:
        """The scale for an image of `width` x `height` px with cells as in `frame`."""
        longest = np.linalg.norm(frame.basis, axis=0).max()
        area = abs(float(np.linalg.det(frame.basis)))
        low, cells = area / float(longest), width * height / area
        side = max(width, height)
        zoom = float(np.clip(ROOMY / low, SHORTER / side, max(LONGER / side, 1.0)))
        shown = low * zoom
        return cls(
            zoom, float(np.clip(0.075 * shown, 4.0, 10.5)), float(np.clip(0.02 * shown, 1.1, 2.2)),
            shown >= CROWDED and cells <= MANY, shown >= DENSE,
        )  # fmt: skip


Bend = Callable[[Array], Array]  # points (N, 2) in px of the straight plane to px of the image


def draw(
    image: Tensor, group: WallpaperGroup | None, frame: Frame, caption: Sequence[str],
    plane: tuple[int, int] | None = None, bend: Bend | None = None,
) -> Figure:  # fmt: skip
    """The overlay of `group` on `image` (3, H, W) in [0, 1], `frame` in px of it; `caption` its lines in the margin.

    Without a group cell and lattice are drawn alone. With `bend`, `frame` is in px of a straight plane of the size
    `plane` (width, height), and everything is drawn where `bend` puts it.
    """
    from matplotlib.figure import Figure  # later: it takes a while to import

    _, height, width = image.shape
    scale = Scale.of(frame, width, height)
    elements = Elements.of(group, frame, scale, *(plane or (width, height)))
    shown = scale.zoom * width, scale.zoom * height
    band = 2 * MARGIN + ROW * (max(len(caption), 1) + 0.25)
    size = max(shown[0], NARROWEST), shown[1] + band
    figure = Figure((size[0] / DPI, size[1] / DPI), dpi=DPI)
    left = (size[0] - shown[0]) / 2
    axes = figure.add_axes((left / size[0], band / size[1], shown[0] / size[0], shown[1] / size[1]))
    draw_on(axes, image, elements, scale, bend)
    margin = figure.add_axes((0, 0, 1, band / size[1]))
    _write(margin, elements, caption, size[0], band)
    return figure


@dataclass(frozen=True)
class Elements:
    """What is drawn, in px of the image."""

    cell: Array
    lattice: list[Segment]
    lines: list[Segment]
    centres: list[tuple[int, Array]]

    @classmethod
    def of(cls, group: WallpaperGroup | None, frame: Frame, scale: Scale, width: int, height: int) -> Elements:
        """The elements of `group`, if any, in an image: all, or those of a block of cells where they would crowd."""
        view = np.array([(-0.5, -0.5), (width - 0.5, -0.5), (width - 0.5, height - 0.5), (-0.5, height - 0.5)])
        home = _middle_cell(frame, view.mean(0))
        region = view if scale.everywhere else _block(home, view)
        return cls(
            home.px(np.array([(0, 0), (1, 0), (1, 1), (0, 1)], dtype=float)),
            lattice_lines(frame, view) if scale.lattice else [],
            lines_within(group, frame, region) if group else [],
            centres_within(group, frame, region) if group else [],
        )


def _middle_cell(frame: Frame, middle: Array) -> Frame:
    """The cell that lies nearest to the middle of the image."""
    return Frame(frame.basis, frame.px(np.round(frame.fractions(middle) - 0.5)))


def _block(home: Frame, view: Array) -> Array:
    """`BLOCK` x `BLOCK` cells about the middle one, as far as in view; a hair more, for what is on the edge."""
    low, high = (1 - BLOCK) / 2 - 0.01, (1 + BLOCK) / 2 + 0.01
    region = home.px(np.array([(low, low), (high, low), (high, high), (low, high)]))
    for point, other in zip(view, np.roll(view, -1, 0), strict=True):
        along = other - point
        region = cut(region, point, np.array([along[1], -along[0]]))
    return region


def draw_on(axes: Axes, image: Tensor, elements: Elements, scale: Scale, bend: Bend | None = None) -> None:
    """The image and what lies on it."""
    _, height, width = image.shape
    pixels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    axes.imshow(pixels, interpolation="nearest" if scale.zoom > 1 else "antialiased")
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    axes.set_axis_off()
    points = 72 / DPI
    bent = bend or (lambda at: at)
    lattice = _paths(elements.lattice, bend)
    _strokes(axes, lattice, "lattice", "white", 1.1 * points, "#202020", 2.8 * points, alpha=0.65, under=0.5)
    thin = scale.line * points
    for glide, name in ((True, "glide"), (False, "mirror")):
        some = _paths([line for line in elements.lines if line.glide == glide], bend)
        _strokes(axes, some, name, LINES, thin, HALO, 2.4 * thin, dashed=glide, alpha=0.85)
    corners = elements.cell
    around = zip(corners, np.roll(corners, -1, 0), strict=True)
    _outline(axes, bent(np.concatenate([np.linspace(a, b, STEPS, endpoint=False) for a, b in around])), points)
    drawn = replace(elements, cell=bent(corners), centres=[(n, bent(at[None])[0]) for n, at in elements.centres])
    _symbols(axes, drawn, scale.symbol / scale.zoom, points)
    _letters(axes, drawn.cell, scale)


def _paths(lines: Sequence[Segment], bend: Bend | None) -> list[Array]:
    """The points of each line: its ends, or as many as it takes to bend it."""
    if bend is None:
        return [np.stack([line.start, line.end]) for line in lines]
    return [bend(np.linspace(line.start, line.end, STEPS)) for line in lines]


def _strokes(
    axes: Axes, lines: list[Array], name: str, colour: str, width: float, halo: str, halo_width: float,
    dashed: bool = False, alpha: float = 1.0, under: float = 0.0,
) -> None:  # fmt: skip
    from matplotlib.collections import LineCollection

    if not lines:
        return
    for kind, ink, w, order in ((f"{name}-halo", halo, halo_width, 2.0), (name, colour, width, 2.1)):
        style = (0, (DASHES[0] / w, DASHES[1] / w)) if dashed else "solid"  # matplotlib counts in widths of the line
        drawn = LineCollection(lines, colors=ink, linewidths=w, linestyles=[style], gid=kind, zorder=order - under)
        drawn.set_alpha(alpha if order < 2.1 else 1.0)
        drawn.set_capstyle("butt")
        axes.add_collection(drawn, autolim=False)


def _outline(axes: Axes, cell: Array, points: float) -> None:
    from matplotlib.patches import Polygon

    for colour, width, name in (("#202020", 8.0, "cell-halo"), (CELL, 6.2, "cell")):
        axes.add_patch(Polygon(cell, fill=False, ec=colour, lw=width * points, joinstyle="miter", gid=name, zorder=1.9))


def _symbols(axes: Axes, elements: Elements, size: float, points: float) -> None:
    from matplotlib.collections import PolyCollection

    a = elements.cell[1] - elements.cell[0]
    turn = float(np.degrees(np.arctan2(-a[1], a[0])))
    for order in ORDERS:
        corners = [at + symbol(order, size, turn) for n, at in elements.centres if n == order]
        if corners:
            halo = PolyCollection(corners, fc=HALO, ec=HALO, lw=3.2 * points, gid=f"rotation-{order}-halo", zorder=3)
            ink = PolyCollection(corners, fc=INK, ec="none", gid=f"rotation-{order}", zorder=3.1)
            axes.add_collection(halo, autolim=False)
            axes.add_collection(ink, autolim=False)


def _letters(axes: Axes, cell: Array, scale: Scale) -> None:
    """`0`, `a` and `b` outside the cell, where they are in view."""
    from matplotlib.patheffects import withStroke

    width, height = axes.get_xlim()[1], axes.get_ylim()[0]
    middle = cell.mean(0)
    away = (scale.symbol + 11) / scale.zoom
    for text, at in (("0", cell[0]), ("a", (cell[0] + cell[1]) / 2), ("b", (cell[0] + cell[3]) / 2)):
        out = (at - middle) / max(float(np.linalg.norm(at - middle)), 1e-9)
        x, y = at + away * out
        if 6 / scale.zoom < x < width - 6 / scale.zoom and 6 / scale.zoom < y < height - 6 / scale.zoom:
            axes.text(
                x, y, text, color=INK, fontsize=11, fontstyle="normal" if text == "0" else "italic", weight="bold",
                ha="center", va="center", zorder=4, path_effects=[withStroke(linewidth=3, foreground=HALO)],
            )  # fmt: skip


def _write(axes: Axes, elements: Elements, caption: Sequence[str], width: float, height: float) -> None:
    """The margin: the caption at the left, the key to the symbols at the right."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Polygon

    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    for k, line in enumerate(caption):
        y = MARGIN + ROW * (k + 0.6)
        size, weight = (15, "bold") if k == 0 else (10.5, "normal")
        axes.text(MARGIN, y, in_picture(line), fontsize=size, weight=weight, va="center")
    orders = [n for n in ORDERS if any(order == n for order, _ in elements.centres)]
    kinds = [k for k in (False, True) if any(line.glide == k for line in elements.lines)]
    rows: list[int | bool] = [*kinds, *orders]
    each = min(ROW * 0.85, (height - 1.2 * MARGIN) / max(len(rows), 1))
    for k, row in enumerate(rows):
        y = height - 0.6 * MARGIN - each * (len(rows) - k - 0.5)
        x = width - 112
        if isinstance(row, bool):
            stroke = Line2D([x - 16, x + 16], [y, y], color=LINES, lw=1.5)
            if row:
                stroke.set_linestyle((0, (DASHES[0] / 1.5, DASHES[1] / 1.5)))
            axes.add_line(stroke)
        else:
            axes.add_patch(Polygon(np.array([x, y]) + symbol(row, 6.5), fc=INK, ec="none"))
        text = ("glide" if row else "mirror") if isinstance(row, bool) else f"{row}-fold"
        axes.text(x + 26, y, text, fontsize=9.5, va="center")


def encoded(figure: Figure, suffix: str) -> bytes:
    """The figure as a file of that kind; UnknownNameError for another than `SUFFIXES`."""
    from matplotlib import rc_context

    kind = suffix.lower()
    if kind not in SUFFIXES:
        raise UnknownNameError("kind of picture", suffix, SUFFIXES)
    file = io.BytesIO()
    # text stays text, and the same picture is the same file
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "hier", "pdf.fonttype": 42}):
        save_figure(figure, file, kind, dpi=DPI, facecolor="white")
    return file.getvalue()


def save(figure: Figure, path: Path) -> None:
    """Write the figure in the format of its file's suffix; HierError when it cannot be written."""
    content = encoded(figure, path.suffix)
    with output(path) as file:
        file.write_bytes(content)
