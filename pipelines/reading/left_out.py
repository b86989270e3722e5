"""What of an image is not judged: all outside a rectangle that a user gives, a mask, info bars, borders, scale bars."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...hierarchy import HierError
from .bands import Band, Box, edge_bands
from .errors import ImageError
from .scale_bars import around, largest_free, scale_bar

SMALLEST = 32  # px: sides of the smallest rectangle that a user may ask for
LEFT = 64  # px: sides of what is left at least where something is cut without being asked for
LARGE = 2**22  # px: of a larger image scale bars are looked for on a part of the px


@dataclass(frozen=True)
class LeftOut:
    """Something that was not judged: an info bar, border, scale bar or mask, where it is, and its box in px.

    `box` is left, top, width and height, of a mask that of all that it hides.
    """

    kind: str
    where: str
    box: Box

    def __str__(self) -> str:
        x, y, width, height = self.box
        if self.kind in ("info bar", "border"):
            px = width if self.where in ("left", "right") else height
            return f"{self.kind}, {px} px at the {self.where}"
        return f"{self.kind}, {width} x {height} px at the {self.where} from ({x}, {y})"

    def as_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return {"kind": self.kind, "where": self.where, "box": list(self.box)}


@dataclass(frozen=True)
class Mask:
    """A picture that hides what it is not zero at: a file or an array (H, W); `digest` tells masks apart."""

    digest: str
    source: Any = field(repr=False, compare=False)

    @classmethod
    def of(cls, source: Any) -> Mask:
        """The mask in a file or an array. HierError for a file that cannot be read."""
        try:
            content = (
                Path(source).read_bytes() if isinstance(source, (str, Path)) else np.ascontiguousarray(source).tobytes()
            )
        except OSError as error:
            raise HierError(f"--mask {source}: {error.strerror or error}") from error
        return cls(hashlib.sha256(content).hexdigest()[:12], source)


def parse_box(text: str) -> Box:
    """The rectangle X,Y,W,H in px. Raises HierError.

    >>> parse_box("10,20,300,200")
    (10, 20, 300, 200)
    """
    found = re.fullmatch(r"\s*" + r"\s*,\s*".join([r"(\d{1,9})"] * 4) + r"\s*", text)
    if found is None:
        raise HierError(f"--crop {text}: give X,Y,W,H, left, top, width and height in px: --crop 0,0,1024,943")
    x, y, width, height = (int(n) for n in found.groups())
    return x, y, width, height


def check_crop(crop: Box, width: int, height: int) -> None:
    """ImageError for a rectangle that is no part of an image of so many px, or too small."""
    x, y, w, h = crop
    name = f"--crop {x},{y},{w},{h}"
    if min(w, h) < SMALLEST:
        raise ImageError(f"{name}: the rectangle is {w} x {h} px: give one of at least {SMALLEST} px a side")
    if min(x, y) < 0 or x + w > width or y + h > height:
        raise ImageError(
            f"{name}: the rectangle ends at ({x + w}, {y + h}), outside the image of {width} x {height} px: "
            "give one within it"
        )


def without_bars(pixels: NDArray[np.float32]) -> tuple[Box, list[LeftOut]]:
    """What is judged of an image (H, W, C) in [0, 1], and the bars, borders and scale bars that are not.

    The whole, and none, where there is none of them, or where little else would be left.
    """
    height, width = pixels.shape[:2]
    whole = (0, 0, width, height)
    box, bands = edge_bands(pixels)
    if min(box[2:]) < min(LEFT, *whole[2:]):
        return whole, []
    found = _placed(bands, width, height)
    x, y, w, h = box
    step = max(1, int(np.ceil(np.sqrt(w * h / LARGE))))
    bar = scale_bar(pixels[y : y + h : step, x : x + w : step])
    if bar is None:
        return box, found
    at = tuple(step * n for n in bar.box)
    free = largest_free(w, h, (at[0], at[1], at[2], at[3]))
    if min(free[2:]) < LEFT:
        return box, found
    place = (x + at[0], y + at[1], min(at[2], w - at[0]), min(at[3], h - at[1]))
    found.append(LeftOut("scale bar", _corner(place, width, height), place))
    return (x + free[0], y + free[1], free[2], free[3]), found


def _placed(bands: list[Band], width: int, height: int) -> list[LeftOut]:
    """The bands as boxes of an image, those that lie on each other at one side as one."""
    left, top, right, bottom = 0, 0, width, height
    made: dict[str, LeftOut] = {}
    for band in bands:
        match band.side:
            case "left":
                box, left = (left, top, band.px, bottom - top), left + band.px
            case "right":
                box, right = (right - band.px, top, band.px, bottom - top), right - band.px
            case "top":
                box, top = (left, top, right - left, band.px), top + band.px
            case _:
                box, bottom = (left, bottom - band.px, right - left, band.px), bottom - band.px
        kind, before = "border" if band.plain else "info bar", made.get(band.side)
        if before is not None:
            kind = "info bar" if "info bar" in (kind, before.kind) else kind
            box = around(box, before.box)
        made[band.side] = LeftOut(kind, band.side, box)
    return list(made.values())


def _corner(box: Box, width: int, height: int) -> str:
    """Where a box is, in words."""
    x, y = (box[0] + box[2] / 2) / width, (box[1] + box[3] / 2) / height
    across = "left" if x < 1 / 3 else "right" if x > 2 / 3 else "middle"
    return f"{'upper' if y < 0.5 else 'lower'} {across}"


def unmasked(hidden: NDArray[np.bool_], within: Box) -> tuple[Box, LeftOut | None]:
    """What a mask (H, W) leaves of a rectangle: the smallest one about all that it does not hide, and what it hides.

    ImageError where that is nothing.
    """
    x, y, w, h = within
    here = hidden[y : y + h, x : x + w]
    if not here.any():
        return within, None
    rows, columns = (np.flatnonzero((~here).any(axis)) for axis in (1, 0))
    if not len(rows) or min(rows[-1] - rows[0], columns[-1] - columns[0]) + 1 < SMALLEST:
        raise ImageError("--mask hides all but a few px of it: zero is what is kept, all else is left out")
    box = (x + int(columns[0]), y + int(rows[0]), int(columns[-1] - columns[0]) + 1, int(rows[-1] - rows[0]) + 1)
    down, across = (np.flatnonzero(here.any(axis)) for axis in (1, 0))
    gone = (x + int(across[0]), y + int(down[0]), int(np.ptp(across)) + 1, int(np.ptp(down)) + 1)
    return box, LeftOut("mask", _corner(gone, hidden.shape[1], hidden.shape[0]), gone)
