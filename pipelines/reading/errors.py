"""Errors for images that cannot be used, and how a decoder's exception becomes one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from PIL import Image, UnidentifiedImageError

from ...hierarchy import HierError

# larger images are rejected before reading: with the command itself, which takes 1 GB, those take up to 2 GB
LARGEST, COLOUR = 120_000_000, 75_000_000  # px of one channel, and of several
SMALLEST = 32  # px: least height and width in which repeats can be seen
BYTES = 750_000_000  # of what is unfolded at a time
MESSAGE = 400  # characters: names inside files may be of any length
T = TypeVar("T")


class ImageError(HierError):
    """An image that cannot be used. The message states the problem and what to do, without the file's name.

    It is one line of printable characters, whatever names and causes from a file stand in it.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class FlatImageError(ImageError):
    """An image of one value everywhere."""


def one_line(text: str) -> str:
    """Text on one line, cut to `MESSAGE` characters; characters that steer a terminal are spelled out.

    >>> print(one_line("a" + chr(27) + "[2J" + chr(10) + "hier: forged"))
    a\\x1b[2J hier: forged
    """
    plain = " ".join(text[: 4 * MESSAGE].split())
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in plain)
    return shown if len(shown) <= MESSAGE else shown[: MESSAGE - 1] + "…"


def missing_reader(suffix: str, package: str) -> ImageError:
    """Names the library that reads files of this suffix, and how to install it."""
    return ImageError(f"{suffix} files are read through {package}, which is not installed: pip install {package}")


def damaged(cause: object) -> ImageError:
    """For a file that is not as its format has it, and why."""
    return ImageError(f"cannot be read, the file may be damaged: {cause}")


def too_large() -> ImageError:
    """For an image that memory does not hold."""
    return ImageError("does not fit into memory: crop or shrink it first")


def readable(read: Callable[[], T]) -> T:
    """What `read` makes of a file; whatever a decoder raises becomes an ImageError of one line."""
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
        raise too_large() from error
    except Exception as error:  # decoders of others raise anything on damaged files, also classes of their own
        raise damaged(str(error)[:150].strip() or type(error).__name__) from error


def check_size(height: int, width: int, channels: int = 1, *, largest: int | None = LARGEST) -> None:
    """ImageError for an image of more than `largest` px, or with a side below `SMALLEST`.

    In several `channels`, also for more than `COLOUR`; `largest` None allows any.
    """
    if largest is not None:
        largest = min(largest, COLOUR) if channels > 1 else largest
        if height * width > largest:
            kind = " in colour" if channels > 1 else ""
            most = f"{largest // 10**6} million"
            raise ImageError(f"{width} x {height} px{kind} is more than {most}: crop or shrink it first")
    if min(height, width) < SMALLEST:
        raise ImageError(f"{width} x {height} px is too small: at least {SMALLEST} px a side are needed")


def check_bytes(count: int, what: str = "the image") -> None:
    """ImageError for more than `BYTES` that would have to be unfolded at a time."""
    if count > BYTES:
        raise ImageError(f"{what} takes {count / 1e9:.3g} GB in memory, more than {BYTES / 1e9:g} GB: crop it first")
