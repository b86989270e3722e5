"""Errors for images that cannot be used, and how a decoder's exception becomes one line."""

from __future__ import annotations

import struct
import tokenize
import zlib
from collections.abc import Callable
from typing import TypeVar

from PIL import Image, UnidentifiedImageError

from ...hierarchy import HierError

LARGEST = 120_000_000  # px: larger images are rejected before reading, which takes up to 24 bytes a px
SMALLEST = 32  # px: least height and width in which repeats can be seen

# what decoders of damaged files were seen to raise
DAMAGE = (OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, RuntimeError,
          AttributeError, NotImplementedError, struct.error, zlib.error, tokenize.TokenError)  # fmt: skip
T = TypeVar("T")


class ImageError(HierError):
    """An image that cannot be used. The message states the problem and what to do, without the file's name."""


class FlatImageError(ImageError):
    """An image of one value everywhere."""


def missing_reader(suffix: str, package: str) -> ImageError:
    """Names the library that reads files of this suffix, and how to install it."""
    return ImageError(f"{suffix} files are read through {package}, which is not installed: pip install {package}")


def readable(read: Callable[[], T]) -> T:
    """What `read` makes; whatever a decoder raises becomes an ImageError of one line."""
    try:
        return read()
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(
            "not an image format that can be read: give PNG, JPEG, TIFF, BMP, GIF, WebP, .npy, HDF5 or a micrograph"
        ) from error
    except Image.DecompressionBombError as error:
        raise ImageError("far too large to read: crop or shrink it first") from error
    except MemoryError as error:
        raise ImageError("does not fit into memory: crop or shrink it first") from error
    except DAMAGE as error:
        cause = " ".join(str(error).split())[:150]
        raise ImageError(f"cannot be read, the file may be damaged: {cause or type(error).__name__}") from error


def check_size(height: int, width: int, *, largest: int | None = LARGEST) -> None:
    """ImageError for an image of more than `largest` px, or with a side below `SMALLEST`."""
    if largest is not None and height * width > largest:
        raise ImageError(f"{width} x {height} px is more than {largest // 10**6} million: crop or shrink it first")
    if min(height, width) < SMALLEST:
        raise ImageError(f"{width} x {height} px is too small: at least {SMALLEST} px a side are needed")
