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
Ticks = NDArray[np.int64]
Line = list[tuple[Any, Any]]


def draw_map(array: NDArray[Any], found: FieldMap, what: Domains, path: Path) -> None:
    """Paint the map of the micrograph `array` to `path`. HierError when it cannot be written."""
    base, scale = shrunk(array)
    height, width = base.shape
    picture, rows, columns = painted(base, scale, found, what)
    sheet = Image.new("RGB", (width + LEGEND, max(height, 60 + 24 * len(np.unique(what.group)))), "white")
    sheet.paste(Image.fromarray(picture), (0, 0))
    draw = ImageDraw.Draw(sheet)
    for fill, wide in ((INK, 5), (LINE, 3)):
        for line in boundary_lines(rows, columns, what):
            draw.line(line, fill, wide)
    for line in direction_lines(found, what, scale):
        for fill, wide in ((INK, 4), (LINE, 2)):
            draw.line(line, fill, wide)
    _legend(draw, width + 14, found, what)
    with output(path) as file:
        save_picture(sheet, file, ".png")


def painted(base: NDArray[np.float32], scale: int, found: FieldMap, what: Domains) -> tuple[Bytes, Ticks, Ticks]:
    """The micrograph as `shrunk` has it in its groups' colours (h, w, 3), and the window of each row and column."""
    rows, columns = (_tiles(ticks / scale, n) for ticks, n in zip((found.y, found.x), base.shape, strict=True))
    palette = np.array([*(colour(k) for k in range(len(found.labels))), GREY], np.float32)
    group, confidence = (t[np.ix_(rows, columns)] for t in (what.group, what.probability))
    opacity = (FAINT + (STRONG - FAINT) * confidence)[..., None]
    picture = base[..., None] * (1 - opacity) + palette[group] * opacity
    return picture.round().astype(np.uint8), rows, columns


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


def boundary_lines(rows: Ticks, columns: Ticks, what: Domains) -> list[Line]:
    """Where neighbouring windows are of different domains, in px of the shrunk picture."""
    top, left = (np.searchsorted(t, np.arange(t[-1] + 2)) for t in (rows, columns))
    lines: list[Line] = [[(left[j], top[i + 1]), (left[j + 1], top[i + 1])] for i, j in np.argwhere(what.below)]
    return lines + [[(left[j + 1], top[i]), (left[j + 1], top[i + 1])] for i, j in np.argwhere(what.right)]


def direction_lines(found: FieldMap, what: Domains, scale: int) -> list[Line]:
    """A short line along `a`, at spaced positions, in px of the shrunk picture."""
    spacing = np.diff(found.x[:2])[0] / scale if len(found.x) > 1 else APART
    every = max(1, round(APART / spacing))
    long = 0.36 * every * spacing
    lines: list[Line] = []
    for i in range(every // 2, len(found.y), every):
        for j in range(every // 2, len(found.x), every):
            if np.isfinite(what.angle[i, j]):
                turn = np.radians(what.angle[i, j])
                dx, dy = long * np.cos(turn), -long * np.sin(turn)
                x, y = found.x[j] / scale, found.y[i] / scale
                lines.append([(x - dx, y - dy), (x + dx, y + dy)])
    return lines


def shares(what: Domains) -> list[tuple[int, float]]:
    """Index of each label in the field, -1 where nothing is periodic, and its share, the largest first."""
    indices, counts = np.unique(what.group, return_counts=True)
    found = sorted(zip(counts.tolist(), indices.tolist(), strict=True), reverse=True)
    return [(index, count / what.group.size) for count, index in found]


def _legend(draw: ImageDraw.ImageDraw, x: int, found: FieldMap, what: Domains) -> None:
    font = ImageFont.load_default(15)
    draw.text((x, 8), "group, share of field", INK, font)
    for k, (index, share) in enumerate(shares(what)):
        y = 34 + 24 * k
        draw.rectangle([x, y, x + 16, y + 16], GREY if index < 0 else colour(index))
        name = "not periodic" if index < 0 else on_screen(found.labels[index])
        draw.text((x + 24, y - 2), f"{name}  {100 * share:.1f} %", INK, font)
    y = 44 + 24 * len(shares(what))
    for text in ("strokes: direction of a", "paler: less confident", "long lines: boundaries"):
        draw.text((x, y), text, INK, ImageFont.load_default(13))
        y += 18
