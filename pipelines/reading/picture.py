"""What a reader returns, and what a user can specify about how a file is read."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...hierarchy import HierError
from .bands import Box
from .errors import ImageError
from .left_out import Mask, parse_box
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
    Of an image only the rectangle `crop` is judged, left, top, width and height in px, without what a `mask` hides.
    Info bars, borders and scale bars are cut off with `cut`, unless there is a `crop` or a `tile`.
    """

    page: int | None = None
    raw: RawLayout | None = None
    channel: str | None = None
    pixel_size: PixelSize | None = None
    tile: bool = False
    crop: Box | None = None
    mask: Mask | None = None
    cut: bool = True

    @classmethod
    def of(
        cls, page: int | None = None, raw: str | None = None, channel: str | None = None,
        pixel_size: str | None = None, tile: bool = False, crop: str | Box | None = None, mask: Any = None,
        cut: bool = True,
    ) -> Reading:  # fmt: skip
        """The same from what a user writes: ``raw="512x512:uint16"``, ``pixel_size="0.02nm"``, ``crop="0,0,512,470"``.

        `mask` is a file or an array of the image's size, not zero where it hides. Raises HierError.
        """
        if page is not None and page < 1:
            raise HierError(f"--page {page}: pages are counted from 1")
        size = parse_pixel_size(pixel_size) if pixel_size else None
        made = cls(page, parse_raw(raw) if raw else None, channel, size, tile)
        return made.narrowed(crop, mask, cut)

    def narrowed(self, crop: str | Box | None = None, mask: Any = None, cut: bool = True) -> Reading:
        """The same for a part of each image: see `of`, and where one is not given, as before. Raises HierError."""
        box = self.crop if crop is None else parse_box(crop) if isinstance(crop, str) else crop
        hidden = self.mask if mask is None else Mask.of(mask)
        if self.tile and (box is not None or hidden is not None):
            raise HierError("--tile is for a whole repeat: leave --crop and --mask out")
        return replace(self, crop=box, mask=hidden, cut=self.cut and cut)


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
    """One image of an array (..., H, W) or (..., H, W, channels) when a page is given; the array itself otherwise."""
    if page is None:
        return array
    lead = array.shape[: -image_axes(array.shape)]
    index = page_index(page, int(np.prod(lead)))
    chosen: NDArray[Any] = array[np.unravel_index(index, lead)] if lead else array
    return chosen


def image_axes(shape: tuple[int, ...]) -> int:
    """How many axes at the end of `shape` are those of one image: 3 where the last has one to four channels, else 2."""
    return 3 if len(shape) > 2 and shape[-1] in (1, 2, 3, 4) else 2


def plain(array: NDArray[Any]) -> NDArray[Any]:
    """An array with colours along a last axis, which some libraries keep as fields R, G, B."""
    names = array.dtype.names
    return array if names is None else np.stack([array[name] for name in names if name in "RGB"], -1)
