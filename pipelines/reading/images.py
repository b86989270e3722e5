"""Images from files, arrays and PIL pictures, ready for a classifier; clear errors for those that cannot be used."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from .bands import Box
from .calibrated import picture_of
from .errors import FlatImageError, ImageError, readable, too_large
from .files import SUFFIXES, read_file
from .left_out import LeftOut, check_crop, unmasked, without_bars
from .masked import without_masked
from .oblong import squared
from .picture import Picture, Reading, check_numbers, page_of_stack
from .pillow import from_pillow
from .pixel_size import Oblong, PixelSize
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
    "read_judged",
]

logger = logging.getLogger("hier")
ImageLike = Path | str | NDArray[Any] | Image.Image | Tensor
TILED, LARGE, MOST_TILES = 192, 2**21, 24  # px a side, px, and tiles along a side, of an image that wraps
PLAIN = Reading()


@dataclass(frozen=True)
class Read:
    """An image (3, H, W) float32 in [0, 1], and the size of its pixels if that is known.

    Only the `box` in it is judged, if there is one: left, top, width and height in px. What is `left_out` is said.
    """

    image: Tensor
    pixel_size: PixelSize | None = None
    box: Box | None = None
    left_out: tuple[LeftOut, ...] = ()

    @property
    def judged(self) -> Tensor:
        """The part of the image (3, h, w) that is judged."""
        if self.box is None:
            return self.image
        x, y, width, height = self.box
        return self.image[:, y : y + height, x : x + width]


def read(source: ImageLike, reading: Reading = PLAIN) -> Read:
    """One image with its pixel size.

    Paths to files; arrays (H, W), (H, W, 1 to 4) or (1 or 3, H, W), of masked ones what is not masked, and stacks
    (..., H, W) with a page; signals of HyperSpy, arrays of xarray, data sets of sidpy. Bytes are divided by 255, floats
    that fill part of [0, 1] kept, all else is scaled by its own range; transparent pixels are laid on white. Raises
    ImageError.
    """
    picture = open_picture(source, reading)
    array = tiled(picture.array) if reading.tile else picture.array
    try:
        return _judged(array, picture.pixel_size, reading)
    except MemoryError as error:
        raise too_large() from error


def _judged(array: NDArray[Any], pixel_size: PixelSize | None, reading: Reading) -> Read:
    """An image with what of it is judged; just the image where that is all of it."""
    height, width = array.shape[:2]
    box, found = (0, 0, width, height), []
    if reading.crop is not None:
        check_crop(reading.crop, width, height)
        box = reading.crop
    if reading.mask is not None:
        hidden = _hidden(reading, width, height)
        box, gone = unmasked(hidden, box)
        found = [] if gone is None else [gone]
        array = _filled(array, hidden, box)
    if reading.crop is None and not reading.tile and reading.cut:
        image = as_tensor(_part(array, box))
        grey = image.stride(0) == 0
        (x, y, w, h), bars = without_bars((image[:1] if grey else image).permute(1, 2, 0).numpy())
        shift = box[:2]
        box = (shift[0] + x, shift[1] + y, w, h)
        found += [replace(one, box=(shift[0] + one.box[0], shift[1] + one.box[1], *one.box[2:])) for one in bars]
    if box == (0, 0, width, height):
        return Read(as_tensor(array), pixel_size, None, tuple(found))
    whole, x, y, w, h = as_tensor(array).clone(), *box
    whole[:, y : y + h, x : x + w] = as_tensor(_part(array, box))  # what is left out must not set the range
    return Read(whole, pixel_size, box, tuple(found))


def _part(array: NDArray[Any], box: Box) -> NDArray[Any]:
    x, y, width, height = box
    return array[y : y + height, x : x + width]


def _hidden(reading: Reading, width: int, height: int) -> NDArray[np.bool_]:
    """What the mask of a reading hides (H, W). ImageError for one that cannot be used, or is of another size."""
    assert reading.mask is not None
    source = reading.mask.source
    name = f"--mask {source}" if isinstance(source, (str, Path)) else "--mask"
    try:
        mask = open_picture(source).array
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error
    if mask.ndim == 3:  # transparency hides nothing
        mask = mask[..., : mask.shape[-1] - (mask.shape[-1] in (2, 4))].max(-1)
    if mask.shape != (height, width):
        wrong = f"{mask.shape[1]} x {mask.shape[0]} px, the image is {width} x {height} px"
        raise ImageError(f"{name}: the mask is {wrong}: give one of the image's size")
    return np.asarray(mask != 0)


def _filled(array: NDArray[Any], hidden: NDArray[np.bool_], box: Box) -> NDArray[Any]:
    """An array with the median of the rest, in each channel, at what is hidden in a box."""
    gone, made = _part(hidden, box), array.copy()
    here = _part(made, box)
    if gone.any():
        here[gone] = np.median(here[~gone], 0).astype(array.dtype)
    return made


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


def read_judged(source: ImageLike, reading: Reading = PLAIN) -> Tensor:
    """What is judged of an image, (3, H, W) float32 in [0, 1]: see `read`; without bars and scale bars."""
    return read(source, reading).judged


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
            calibrated = readable(lambda: picture_of(source))
            if calibrated is None:
                raise ImageError(
                    f"a {type(source).__name__} cannot be used as an image: give a path, an array or a PIL image"
                )
            found = calibrated
    array = found.array if isinstance(source, (str, Path)) else page_of_stack(found.array, reading.page)
    array = np.invert(array) if found.negative and array.dtype.kind in "bu" else array
    array, size = channels_last(array), reading.pixel_size or found.pixel_size
    if isinstance(size, Oblong):
        name = str(source) if isinstance(source, (str, Path)) else f"the {type(source).__name__}"
        sides = f"{name}: its pixels are {size} wide and {size.aspect:.3g} times as high"
        array, size = _squared(array, size)
        logger.warning("%s: it is read as %d x %d square ones, in which places are given", sides, *array.shape[1::-1])
    return Picture(array, size)


def _squared(array: NDArray[Any], size: Oblong) -> tuple[NDArray[Any], PixelSize]:
    try:
        return squared(array, size)
    except (MemoryError, RuntimeError) as error:  # the latter is PyTorch's
        raise too_large() from error


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
