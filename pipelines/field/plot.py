"""The picture of a field map: groups in colour on the micrograph, lattice directions, boundaries and a legend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ...hierarchy.files import output
from ...hierarchy.names import on_screen
from ..marks import save_picture
from .domains import Domains
from .measure import FieldMap

SIDE = 1100  # px: longer side of the micrograph in the picture
LEGEND = 190  # px
STRIP = 64  # rows of the picture for which the micrograph is read at a time
APART = 26  # px between lattice directions
GREY, INK, LINE = (128, 128, 128), (0, 0, 0), (255, 255, 255)
# S. Trubetskoy's simple, distinct colours
COLOURS = (
    "e6194b", "3cb44b", "ffe119", "4363d8", "f58231", "911eb4", "46f0f0", "f032e6", "bcf60c", "fabebe", "008080",
    "e6beff", "9a6324", "fffac8", "800000", "aaffc3", "808000", "ffd8b1", "000075",
)  # fmt: skip
FAINT, STRONG = 0.12, 0.5  # opacity of a colour at confidence 0 and 1

Bytes = NDArray[np.uint8]


def draw_map(array: NDArray[Any], found: FieldMap, what: Domains, path: Path) -> None:
    """Paint the map of the micrograph `array` to `path`. HierError when it cannot be written."""
    base, scale = shrunk(array)
    height, width = base.shape
    rows, columns = (_tiles(ticks / scale, n) for ticks, n in ((found.y, height), (found.x, width)))
    palette = np.array([*(colour(k) for k in range(len(found.labels))), GREY], np.float32)
    group, confidence = (t[np.ix_(rows, columns)] for t in (what.group, what.probability))
    opacity = (FAINT + (STRONG - FAINT) * confidence)[..., None]
    painted = base[..., None] * (1 - opacity) + palette[group] * opacity
    sheet = Image.new("RGB", (width + LEGEND, max(height, 60 + 24 * len(np.unique(what.group)))), "white")
    sheet.paste(Image.fromarray(painted.round().astype(np.uint8)), (0, 0))
    draw = ImageDraw.Draw(sheet)
    _boundaries(draw, rows, columns, what)
    _directions(draw, found, what, scale)
    _legend(draw, width + 14, found, what)
    with output(path) as file:
        save_picture(sheet, file, ".png")


def shrunk(array: NDArray[Any], side: int = SIDE) -> tuple[NDArray[np.float32], int]:
    """The micrograph in grey (h, w), 0 to 255, means of blocks of `scale` x `scale` px, and that scale.

    It is read strip by strip, so that one larger than memory can be shown.
    """
    height, width = array.shape[:2]
    scale = max(1, -(-max(height, width) // side))
    h, w = height // scale, width // scale
    grey = np.empty((h, w), np.float32)
    for top in range(0, h, STRIP):
        stop = min(top + STRIP, h)
        strip = np.asarray(array[top * scale : stop * scale, : w * scale], np.float32)
        strip = strip if strip.ndim == 2 else strip[..., : 3 if strip.shape[-1] >= 3 else 1].mean(-1)
        grey[top:stop] = strip.reshape(stop - top, scale, w, scale).mean((1, 3))
    finite = grey[np.isfinite(grey)]
    low, high = np.percentile(finite, (0.5, 99.5)) if finite.size else (0.0, 1.0)
    return np.nan_to_num((grey - low) / max(high - low, 1e-30)).clip(0, 1) * 255, scale


def colour(index: int) -> tuple[int, int, int]:
    """Colour of label number `index`; they repeat after nineteen."""
    code = COLOURS[index % len(COLOURS)]
    return int(code[:2], 16), int(code[2:4], 16), int(code[4:], 16)


def _tiles(middles: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Index of the window whose middle is nearest, for each of `count` px."""
    edges = (middles[1:] + middles[:-1]) / 2
    return np.searchsorted(edges, np.arange(count) + 0.5)


def _boundaries(draw: ImageDraw.ImageDraw, rows: Any, columns: Any, what: Domains) -> None:
    top, left = (np.searchsorted(t, np.arange(t[-1] + 2)) for t in (rows, columns))
    lines = [[(left[j], top[i + 1]), (left[j + 1], top[i + 1])] for i, j in np.argwhere(what.below)]
    lines += [[(left[j + 1], top[i]), (left[j + 1], top[i + 1])] for i, j in np.argwhere(what.right)]
    for fill, wide in ((INK, 5), (LINE, 3)):
        for line in lines:
            draw.line(line, fill, wide)


def _directions(draw: ImageDraw.ImageDraw, found: FieldMap, what: Domains, scale: int) -> None:
    """A short line along `a`, at spaced positions."""
    spacing = np.diff(found.x[:2])[0] / scale if len(found.x) > 1 else APART
    every = max(1, round(APART / spacing))
    long = 0.36 * every * spacing
    for i in range(every // 2, len(found.y), every):
        for j in range(every // 2, len(found.x), every):
            if np.isfinite(what.angle[i, j]):
                turn = np.radians(what.angle[i, j])
                dx, dy = long * np.cos(turn), -long * np.sin(turn)
                x, y = found.x[j] / scale, found.y[i] / scale
                for fill, wide in ((INK, 4), (LINE, 2)):
                    draw.line([(x - dx, y - dy), (x + dx, y + dy)], fill, wide)


def _legend(draw: ImageDraw.ImageDraw, x: int, found: FieldMap, what: Domains) -> None:
    font = ImageFont.load_default(15)
    indices, counts = np.unique(what.group, return_counts=True)
    shares = sorted(zip(counts.tolist(), indices.tolist(), strict=True), reverse=True)
    draw.text((x, 8), "group, share of field", INK, font)
    for k, (count, index) in enumerate(shares):
        y = 34 + 24 * k
        draw.rectangle([x, y, x + 16, y + 16], GREY if index < 0 else colour(index))
        name = "not periodic" if index < 0 else on_screen(found.labels[index])
        draw.text((x + 24, y - 2), f"{name}  {100 * count / what.group.size:.1f} %", INK, font)
    y = 44 + 24 * len(shares)
    for text in ("strokes: direction of a", "paler: less confident", "long lines: boundaries"):
        draw.text((x, y), text, INK, ImageFont.load_default(13))
        y += 18
