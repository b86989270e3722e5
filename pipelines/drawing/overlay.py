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
from ..marks import save_figure
from .beside import Beside
from .colours import BEST, CELL, HALO, INK, LINES, SHADOW
from .lettering import DPI, MARGIN, ROW, SUFFIXES, draw_bar, wrapped, write_lines
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

SHORTER, LONGER = 720.0, 1500.0  # the image's longer side as drawn
ROOMY = 90.0  # a cell is enlarged to this height if the image can be
CROWDED, MANY = 64.0, 40  # lower cells, or more, show their symmetry elements in the middle of the image only
DENSE = 9.0  # cells lower than this are not outlined one by one
BLOCK = 3  # cells along each axis of that middle
NARROWEST = 560.0
KEY = 160.0  # width of the key to the symbols
INCH, PRINT, FINEST = 25.4, 300.0, 2.0e4  # mm; DPI where a size is asked for; px, the longer side of a PNG at most
DASHES = 7.0, 4.5  # points
STEPS = 32  # of a line that is bent


@dataclass(frozen=True)
class Scale:
    """How large things are drawn: `zoom` px of the figure for one px of the image, and px of the figure."""

    zoom: float
    symbol: float
    line: float
    everywhere: bool
    lattice: bool

    @classmethod
    def of(cls, frame: Frame, width: int, height: int, across: float | None = None) -> Scale:
        """The scale for an image of `width` x `height` px with cells as in `frame`, `across` wide if given."""
        longest = np.linalg.norm(frame.basis, axis=0).max()
        area = abs(float(np.linalg.det(frame.basis)))
        low, cells = area / float(longest), width * height / area
        side = max(width, height)
        zoom = float(np.clip(ROOMY / low, SHORTER / side, max(LONGER / side, 1.0)))
        zoom = zoom if across is None else across / width
        shown = low * zoom
        return cls(
            zoom, float(np.clip(0.075 * shown, 4.0, 10.5)), float(np.clip(0.02 * shown, 1.1, 2.2)),
            shown >= CROWDED and cells <= MANY, shown >= DENSE,
        )  # fmt: skip


@dataclass(frozen=True)
class Style:
    """How a figure is made: `width` in mm and `dpi` of a PNG, both found if None; `caption` and key below; a scale bar.

    Without `dpi` each px of the image has one px of the PNG or more, or 300 to the inch where a width is given. The bar
    needs the `pixel`, which spans a length and has a unit; it lies `inside` a rectangle (left, top, width, height) px.
    """

    width: float | None = None
    dpi: float | None = None
    caption: bool = True
    pixel: tuple[float, str] | None = None
    inside: tuple[int, int, int, int] | None = None


Bend = Callable[[Array], Array]  # points (N, 2) in px of the straight plane to px of the image


def draw(
    image: Tensor, group: WallpaperGroup | None, frame: Frame, caption: Sequence[str],
    plane: tuple[int, int] | None = None, bend: Bend | None = None, pinned: bool = False,
    refused: Refused | None = None, style: Style | None = None,
) -> Figure:  # fmt: skip
    """The overlay of `group` on `image` (3, H, W) in [0, 1], `frame` in px of it; `caption` its lines in the margin.

    Without a group cell and lattice are drawn alone. With `bend`, `frame` is in px of a straight plane of the size
    `plane` (width, height), and everything is drawn where `bend` puts it. The cell is the one in the middle, or, if
    `pinned`, that of the frame. Of a `refused` image what was tried stands beside it.
    """
    from matplotlib.figure import Figure  # later: it takes a while to import

    _, height, width = image.shape
    style = style or Style()
    panels = 1 if refused is None else 2
    whole = None if style.width is None else style.width / INCH * DPI
    scale = Scale.of(frame, width, height, None if whole is None else (whole - (panels - 1) * MARGIN) / panels)
    elements = Elements.of(group, frame, scale, *(plane or (width, height)), pinned=pinned)
    shown = scale.zoom * width, scale.zoom * height
    both = panels * shown[0] + (panels - 1) * MARGIN
    across = max(both, NARROWEST) if whole is None and style.caption else both
    lines, band = [], 0.0
    if style.caption:
        beneath = across < NARROWEST  # there is no room for the key beside the caption
        lines = wrapped(caption, across, KEY if elements.kinds and not beneath else 0.0)
        written, key = len(lines) + 0.25, 0.85 * len(elements.kinds)
        band = 2 * MARGIN + ROW * (written + key if beneath else max(written, key))
    size = across, shown[1] + band
    figure = Figure((size[0] / DPI, size[1] / DPI), dpi=dots(style, scale.zoom, max(size)))
    left = (size[0] - both) / 2
    axes = figure.add_axes((left / size[0], band / size[1], shown[0] / size[0], shown[1] / size[1]))
    draw_on(axes, image, elements, scale, bend)
    if style.pixel is not None:
        draw_bar(axes, *style.pixel, scale.zoom, style.inside)
    if refused is not None:
        _best(axes, refused.best, bend or (lambda at: at))
        left += shown[0] + MARGIN
        beside = figure.add_axes((left / size[0], band / size[1], shown[0] / size[0], shown[1] / size[1]))
        refused.beside.draw_on(beside, 72 / DPI)
    if style.caption:
        margin = figure.add_axes((0, 0, 1, band / size[1]))
        _write(margin, elements, lines, size[0], band)
    return figure


def dots(style: Style, zoom: float, longest: float) -> float:
    """Px to the inch of a PNG, of which the longer side is `longest` px of the figure."""
    if style.dpi is not None:
        return style.dpi
    own = max(DPI / zoom, DPI) if style.width is None else PRINT
    return min(own, max(DPI, FINEST / longest * DPI))


@dataclass(frozen=True)
class Refused:
    """Of an image without a pattern: its autocorrelation, and corners (4, 2) of where it repeats best, in px of it."""

    beside: Beside
    best: Array | None = None


def _best(axes: Axes, corners: Array | None, bend: Bend) -> None:
    """The outline of where a refused image repeats best."""
    if corners is None:
        return
    around = zip(corners, np.roll(corners, -1, 0), strict=True)
    _strokes(axes, _paths([Segment(a, b, False) for a, b in around], bend), "best", BEST, 1.6, SHADOW, 3.2)


@dataclass(frozen=True)
class Elements:
    """What is drawn, in px of the image."""

    cell: Array
    lattice: list[Segment]
    lines: list[Segment]
    centres: list[tuple[int, Array]]

    @property
    def kinds(self) -> list[int | bool]:
        """What the key has to tell: False for mirrors, True for glides, and orders of rotations."""
        lines = [k for k in (False, True) if any(line.glide == k for line in self.lines)]
        return [*lines, *(n for n in ORDERS if any(order == n for order, _ in self.centres))]

    @classmethod
    def of(
        cls, group: WallpaperGroup | None, frame: Frame, scale: Scale, width: int, height: int, pinned: bool = False
    ) -> Elements:
        """The elements of `group`, if any, in an image: all, or those of a block of cells where they would crowd.

        The cell is the one in the middle of the view, or, if `pinned`, that of the frame.
        """
        view = np.array([(-0.5, -0.5), (width - 0.5, -0.5), (width - 0.5, height - 0.5), (-0.5, height - 0.5)])
        home = frame if pinned else _middle_cell(frame, view.mean(0))
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
    _strokes(axes, lattice, "lattice", HALO, 1.1 * points, SHADOW, 2.8 * points, alpha=0.65, under=0.5)
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

    for colour, width, name in ((SHADOW, 8.0, "cell-halo"), (CELL, 6.2, "cell")):
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


def _write(axes: Axes, elements: Elements, lines: Sequence[str], width: float, height: float) -> None:
    """The margin: the caption at the left, the key to the symbols at the right."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Polygon

    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    write_lines(axes, lines)
    rows = elements.kinds
    each = ROW * 0.85
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


def encoded(figure: Figure, suffix: str, dpi: float = DPI) -> bytes:
    """The figure as a file of that kind, a PNG with `dpi`; UnknownNameError for another than `SUFFIXES`."""
    from matplotlib import rc_context

    kind = suffix.lower()
    if kind not in SUFFIXES:
        raise UnknownNameError("kind of picture", suffix, SUFFIXES)
    file = io.BytesIO()
    # text stays text, and the same picture is the same file
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "hier", "pdf.fonttype": 42}):
        save_figure(figure, file, kind, dpi=dpi, facecolor="white")
    return file.getvalue()


def save(figure: Figure, path: Path) -> None:
    """Write the figure in the format of its file's suffix, at its own dpi; HierError when it cannot be written."""
    content = encoded(figure, path.suffix, figure.dpi)
    with output(path) as file:
        file.write_bytes(content)
