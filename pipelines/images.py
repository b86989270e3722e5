"""Read images from files, arrays and PIL pictures; say clearly what is wrong with those that cannot be used."""

from __future__ import annotations

import struct
import tokenize
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from ..hierarchy import HierError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SMALLEST = 32  # px: least height and width in which repeats can be seen
ROUNDING = 1e-6  # differences below it, relative to the largest value, are no contrast
FAINT = 1e-3  # floats in [0, 1] of less contrast are measurements in some unit: heights in metres, say
LARGEST = 120_000_000  # px: more is refused before it is read into memory, where it takes up to 24 bytes a px
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".npy"}


# what decoders of damaged files were seen to raise
DAMAGE = (OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, RuntimeError,
          AttributeError, struct.error, zlib.error, tokenize.TokenError)  # fmt: skip


class ImageError(HierError):
    """An image that cannot be used. The message says what is wrong and what to do, without the file's name."""


class FlatImageError(ImageError):
    """An image of one value everywhere."""


def read_image(source: Path | str | NDArray[Any] | Image.Image | Tensor) -> Tensor:
    """One image as (3, H, W) float32 in [0, 1].

    Paths to PNG, JPEG, BMP, GIF, WebP, TIFF (8, 16 bit or float, first page) and ``.npy``; arrays (H, W),
    (H, W, 1 to 4) or (1 or 3, H, W). Bytes are divided by 255, floats that fill part of [0, 1] kept, all else is
    scaled by its own range; transparent pixels are laid on white. Raises ImageError.
    """
    match source:
        case Image.Image():
            array = _readable(_from_pillow, source)
        case Tensor():
            whole = source.detach().cpu()
            array = (whole.float() if whole.is_floating_point() else whole).numpy()
        case np.ndarray():
            array = source
        case str() | Path():
            array = _readable(_from_file, Path(source))
        case _:
            raise ImageError(f"a {type(source).__name__} is no image: give a path, an array or a PIL image")
    return _checked(array)


def _readable(read: Callable[[Any], NDArray[Any]], source: Path | Image.Image) -> NDArray[Any]:
    """What `read` makes of `source`; whatever a decoder stumbles over becomes an ImageError of one line."""
    try:
        return read(source)
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError("no image format that can be read: give PNG, JPEG, TIFF, BMP, GIF, WebP or .npy") from error
    except Image.DecompressionBombError as error:
        raise ImageError("far too large to read: crop or shrink it first") from error
    except MemoryError as error:
        raise ImageError("does not fit into memory: crop or shrink it first") from error
    except DAMAGE as error:
        cause = " ".join(str(error).split())[:150]
        raise ImageError(f"cannot be read, the file may be damaged: {cause or type(error).__name__}") from error


def _from_file(path: Path) -> NDArray[Any]:
    if path.is_dir():
        raise ImageError("is a folder: name the images in it")
    if not path.exists():
        raise ImageError("no such file")
    if path.stat().st_size == 0:
        raise ImageError("the file is empty")
    match path.suffix.lower():
        case ".npy":
            array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
            return array
        case ".tif" | ".tiff":
            return _from_tiff(path)
    return _open_pillow(path)


def _open_pillow(path: Path) -> NDArray[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(path) as image:
            _check_size(image.height, image.width)
            return _from_pillow(image)


def _from_tiff(path: Path) -> NDArray[Any]:
    """The first page: by tifffile, which reads every depth, or by Pillow, which knows more ways of packing."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        _check_size(page.imagelength, page.imagewidth)
        light = page.photometric in (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.RGB)
        dark = page.photometric == tifffile.PHOTOMETRIC.MINISWHITE
        if light or dark:
            try:
                array: NDArray[Any] = page.asarray()
            except ValueError as error:
                if "imagecodecs" not in str(error):  # how tifffile says that a codec is not installed
                    raise
            else:
                return np.invert(array) if dark and array.dtype.kind in "bu" else array
    return _open_pillow(path)


def _from_pillow(image: Image.Image) -> NDArray[Any]:
    if image.mode in {"I;16", "I;16B", "I;16L", "I", "F", "L", "RGB", "RGBA"}:
        return np.asarray(image)
    return np.asarray(image.convert("RGBA" if "transparency" in image.info or image.mode in {"LA", "PA"} else "RGB"))


def _check_size(height: int, width: int) -> None:
    if height * width > LARGEST:
        raise ImageError(f"{width} x {height} px is more than {LARGEST // 10**6} million: crop or shrink it first")
    if min(height, width) < SMALLEST:
        raise ImageError(f"{width} x {height} px is too small: at least {SMALLEST} px a side are needed")


def _checked(array: NDArray[Any]) -> Tensor:
    if array.dtype.kind not in "buif":
        raise ImageError(f"an array of {array.dtype} is no image: integers or floats are needed")
    if array.ndim == 3 and array.shape[0] in (1, 3) and array.shape[-1] not in (1, 2, 3, 4):
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in (1, 2, 3, 4):
        raise ImageError(f"an array of shape {array.shape} is no image: (H, W), (H, W, 3) or (3, H, W) is needed")
    _check_size(*array.shape[:2])
    scaled = _scaled(np.asarray(array))
    if scaled.shape[-1] in (2, 4):
        alpha = scaled[..., -1:].clip(0, 1)
        scaled = scaled[..., :-1] * alpha + (1 - alpha)
    image = torch.from_numpy(np.ascontiguousarray(np.moveaxis(scaled, -1, 0)))
    if float(image.max() - image.min()) < ROUNDING:
        raise FlatImageError("every pixel has the same value: there is nothing to find")
    return image.expand(3, -1, -1)


def _scaled(array: NDArray[Any]) -> NDArray[np.float32]:
    if array.dtype.kind == "b":
        return array.astype(np.float32)
    if array.dtype == np.uint8:
        return array.astype(np.float32) / np.float32(255)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        raise ImageError(f"{bad} of {array.size} values are NaN or infinite: fill or crop them first")
    low, high = float(array.min()), float(array.max())
    largest = max(abs(low), abs(high))
    if high / max(largest, 1e-300) - low / max(largest, 1e-300) < ROUNDING:
        raise FlatImageError("every pixel has the same value: there is nothing to find")
    if array.dtype.kind == "f" and low >= 0 and high <= 1 and high - low > FAINT:
        return array.astype(np.float32)
    scaled = array.astype(np.float64) / largest
    return ((scaled - low / largest) / (high / largest - low / largest)).astype(np.float32)


def images_in(folder: Path) -> Iterator[tuple[str, Path]]:
    """(label, file) of a folder with one subfolder of images for each label, in order."""
    for sub in sorted(p for p in folder.iterdir() if p.is_dir()):
        for file in sorted(sub.rglob("*")):
            if file.suffix.lower() in SUFFIXES:
                yield sub.name, file
