"""What a reader returns, and what a user can specify about how a file is read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...hierarchy import HierError
from .errors import ImageError
from .pixel_size import PixelSize, parse_pixel_size


@dataclass(frozen=True)
class RawLayout:
    """A file of bare pixels: `width` x `height` of `dtype`, row by row, after `header` bytes."""

    width: int
    height: int
    dtype: np.dtype[Any]
    header: int = 0


@dataclass(frozen=True)
class Reading:
    """How files are to be read.

    `page` counts from 1; None is the first where a format has pages, and an error for an array that is a stack.
    `raw` is the layout of ``.raw`` and ``.bin``; `channel` the channel of an AFM file; `pixel_size` overrides what
    files say. With `tile` an image is one seamless repeat, which wraps at its edges: several of it are set together.
    """

    page: int | None = None
    raw: RawLayout | None = None
    channel: str | None = None
    pixel_size: PixelSize | None = None
    tile: bool = False

    @classmethod
    def of(
        cls, page: int | None = None, raw: str | None = None, channel: str | None = None,
        pixel_size: str | None = None, tile: bool = False,
    ) -> Reading:  # fmt: skip
        """The same from what a user writes: ``raw="512x512:uint16"``, ``pixel_size="0.02nm"``. Raises HierError."""
        if page is not None and page < 1:
            raise HierError(f"--page {page}: pages are counted from 1")
        size = parse_pixel_size(pixel_size) if pixel_size else None
        return cls(page, parse_raw(raw) if raw else None, channel, size, tile)


@dataclass(frozen=True)
class Picture:
    """Pixels of a file, (H, W) or (H, W, channels), perhaps mapped and not in memory, and their size if known.

    In a `negative` the largest value is the darkest.
    """

    array: NDArray[Any]
    pixel_size: PixelSize | None = None
    negative: bool = False


def check_numbers(array: NDArray[Any]) -> None:
    """ImageError for an array of anything but integers, floats and truth values."""
    if array.dtype.kind not in "buif":
        raise ImageError(f"an array of {array.dtype} cannot be used as an image: integers or floats are needed")


def parse_raw(text: str) -> RawLayout:
    """The layout ``WIDTHxHEIGHT:TYPE[be][+HEADER]``. Raises HierError.

    >>> parse_raw("640x480:uint16be+1024")
    RawLayout(width=640, height=480, dtype=dtype('>u2'), header=1024)
    """
    match = re.fullmatch(r"(\d{1,9})x(\d{1,9}):(u?int(?:8|16|32|64)|float(?:16|32|64))(be)?(?:\+(\d{1,15}))?", text)
    if match is None:
        raise HierError(
            f"--raw {text}: give WIDTHxHEIGHT:TYPE, for instance 512x512:uint16, with TYPE a number type of numpy, "
            "`be` after it if big endian, and +BYTES of header to skip if any (512x512:uint16be+1024)"
        )
    dtype = np.dtype(match[3]).newbyteorder(">" if match[4] else "<")
    return RawLayout(int(match[1]), int(match[2]), dtype, int(match[5] or 0))


def page_index(page: int | None, count: int) -> int:
    """Index from 0 of the page asked for, the first by default; ImageError when there is no such page."""
    index = (page or 1) - 1
    if not 0 <= index < count:
        one = "it has one page" if count == 1 else f"it has pages 1 to {count}"
        raise ImageError(f"has no page {page}: {one}")
    return index


def page_of_stack(array: NDArray[Any], page: int | None) -> NDArray[Any]:
    """One (H, W) of an array (..., H, W) when a page is given; the array itself otherwise."""
    if page is None:
        return array
    if array.ndim <= 2 or (array.ndim == 3 and array.shape[-1] in (1, 2, 3, 4)):
        page_index(page, 1)
        return array
    index = page_index(page, int(np.prod(array.shape[:-2])))
    chosen: NDArray[Any] = array[np.unravel_index(index, array.shape[:-2])]
    return chosen
