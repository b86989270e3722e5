"""Images from files, arrays and PIL pictures, ready for a classifier; clear errors for those that cannot be used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from .errors import FlatImageError, ImageError, readable, too_large
from .files import SUFFIXES, read_file
from .masked import without_masked
from .picture import Picture, Reading, check_numbers, page_of_stack
from .pillow import from_pillow
from .pixel_size import PixelSize
from .scaling import as_tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "FlatImageError",
    "ImageError",
    "ImageLike",
    "Read",
    "as_tensor",
    "images_in",
    "open_picture",
    "read",
    "read_image",
]

ImageLike = Path | str | NDArray[Any] | Image.Image | Tensor
TILED, LARGE, MOST_TILES = 192, 2**21, 24  # px a side, px, and tiles along a side, of an image that wraps
PLAIN = Reading()


@dataclass(frozen=True)
class Read:
    """An image (3, H, W) float32 in [0, 1], and the size of its pixels if that is known."""

    image: Tensor
    pixel_size: PixelSize | None = None


def read(source: ImageLike, reading: Reading = PLAIN) -> Read:
    """One image with its pixel size.

    Paths to any format of `image_files`; arrays (H, W), (H, W, 1 to 4) or (1 or 3, H, W), of masked ones what is not
    masked, and stacks (..., H, W) with a page. Bytes are divided by 255, floats that fill part of [0, 1] kept, all else
    is scaled by its own range; transparent pixels are laid on white. Raises ImageError.
    """
    picture = open_picture(source, reading)
    array = tiled(picture.array) if reading.tile else picture.array
    try:
        return Read(as_tensor(array), picture.pixel_size)
    except MemoryError as error:
        raise too_large() from error


def tiled(array: NDArray[Any]) -> NDArray[Any]:
    """An image (H, W) or (H, W, channels) that wraps at its edges, set together to at least three by three.

    Small ones until a side has `TILED` px; two by two where one alone is of more than `LARGE` px.
    """
    high, wide = array.shape[:2]
    if not min(high, wide):
        return array
    least = 2 if high * wide > LARGE else 3
    count = max(least, min(MOST_TILES, -(-TILED // min(high, wide))))
    return np.tile(array, (count, count, *[1] * (array.ndim - 2)))


def read_image(source: ImageLike, reading: Reading = PLAIN) -> Tensor:
    """One image as (3, H, W) float32 in [0, 1]: see `read`."""
    return read(source, reading).image


def open_picture(source: ImageLike, reading: Reading = PLAIN, mapped: bool = False) -> Picture:
    """The pixels of `source` as they are, (H, W) or (H, W, channels). Raises ImageError.

    With `mapped`, a file that need not be read into memory as a whole may be of any size.
    """
    match source:
        case Image.Image():
            found = Picture(readable(lambda: from_pillow(source)))
        case Tensor():
            whole = source.detach().cpu()
            found = Picture((whole.float() if whole.is_floating_point() else whole).numpy())
        case np.ma.MaskedArray():
            found = Picture(without_masked(source))
        case np.ndarray():
            found = Picture(source)
        case str() | Path():
            found = readable(lambda: read_file(source, reading, mapped))
        case _:
            raise ImageError(
                f"a {type(source).__name__} cannot be used as an image: give a path, an array or a PIL image"
            )
    array = found.array if isinstance(source, (str, Path)) else page_of_stack(found.array, reading.page)
    array = np.invert(array) if found.negative and array.dtype.kind in "bu" else array
    return Picture(channels_last(array), reading.pixel_size or found.pixel_size)


def channels_last(array: NDArray[Any]) -> NDArray[Any]:
    """(H, W) or (H, W, 1 to 4) of any array that is an image; ImageError for others."""
    check_numbers(array)
    if array.ndim == 3 and array.shape[0] in (1, 3) and array.shape[-1] not in (1, 2, 3, 4):
        array = np.moveaxis(array, 0, -1)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[-1] not in (1, 2, 3, 4)):
        stack = "; for a stack, choose an image with --page N" if array.ndim > 2 else ""
        raise ImageError(
            f"an array of shape {array.shape} cannot be used as an image: give (H, W), (H, W, 3) or (3, H, W){stack}"
        )
    return array


def images_in(folder: Path) -> Iterator[tuple[str, Path]]:
    """(label, file) of a folder with one subfolder of images for each label, in order."""
    for sub in sorted(p for p in folder.iterdir() if p.is_dir()):
        for file in sorted(sub.rglob("*")):
            if file.suffix.lower() in SUFFIXES:
                yield sub.name, file
