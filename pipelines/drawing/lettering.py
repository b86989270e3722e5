"""What is written on figures and below them: captions that fit, and scale bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...hierarchy.names import in_picture
from .colours import HALO, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".png", ".svg", ".pdf")
DPI = 100  # all lengths are in px of it
MARGIN, ROW = 14.0, 27.0  # px
HEAD, BODY = 15.0, 10.5  # points, of the first line of a caption and of others
LONGEST = 0.3  # of the image's width: a scale bar


def wrapped(caption: Sequence[str], width: float, key: float) -> list[str]:
    """The lines of a caption, broken where they would run out of `width` px less a `key` at its right."""
    made: list[str] = []
    for line in caption:
        size = BODY if made else HEAD
        words, begun = line.split(" "), ""
        for word in words:
            longer = f"{begun} {word}" if begun else word
            if begun.strip() and extent(longer, size) > width - 2 * MARGIN - key:
                made.append(begun.rstrip())
                begun = word
            else:
                begun = longer
        made.append(begun.rstrip())
    return made


def extent(text: str, size: float) -> float:
    """Width in px of a text of `size` points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    weight = "bold" if size == HEAD else "normal"
    path = TextPath((0, 0), in_picture(text) or " ", size=size, prop=FontProperties(weight=weight))
    return float(path.get_extents().width) * DPI / 72 if len(path.vertices) else 0.0


def write_lines(axes: Axes, lines: Sequence[str]) -> None:
    """The lines of a caption in a margin whose units are px, y down; the first is its head."""
    for k, line in enumerate(lines):
        size, weight = (HEAD, "bold") if k == 0 else (BODY, "normal")
        axes.text(MARGIN, MARGIN + ROW * (k + 0.6), in_picture(line), fontsize=size, weight=weight, va="center")


def round_length(most: float) -> float:
    """The largest 1, 2 or 5 times a power of ten up to `most`.

    >>> [round_length(x) for x in (0.3, 1.9, 730.0)]
    [0.2, 1.0, 500.0]
    """
    power = math.floor(math.log10(most))
    return max(float(f"{n}e{power}") for n in (1, 2, 5) if n * 10.0**power <= most * (1 + 1e-9))


def draw_bar(
    axes: Axes, pixel: float, unit: str, zoom: float, inside: tuple[float, float, float, float] | None = None
) -> None:
    """A scale bar in the lower right corner of an image, one px of which spans `pixel` of `unit`.

    The corner is that of `inside` (left, top, width, height) in px, if given: beyond it there may be text.
    """
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    left, top, width, height = inside or (0.0, 0.0, axes.get_xlim()[1] + 0.5, axes.get_ylim()[0] + 0.5)
    length = round_length(LONGEST * width * pixel)
    long, high, away = length / pixel, 6 / zoom, 14 / zoom
    x, y = left + width - away - long, top + height - away - high
    for colour, more in ((HALO, 2.5 / zoom), (INK, 0.0)):
        axes.add_patch(
            Rectangle((x - more, y - more), long + 2 * more, high + 2 * more, fc=colour, ec="none", gid="bar", zorder=5)
        )
    axes.text(
        x + long / 2, y - 5 / zoom, f"{length:g} {unit}", fontsize=BODY, weight="bold", ha="center", va="bottom",
        color=INK, zorder=5, path_effects=[withStroke(linewidth=3, foreground=HALO)], gid="bar-length",
    )  # fmt: skip
