"""Read images from files, arrays and PIL pictures; say clearly what is wrong with those that cannot be used."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from ..hierarchy import HierError

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALLEST = 32  # px: least height and width in which repeats can be seen
LARGEST = 400_000_000  # px: more is refused before it is read into memory
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".npy"}


class ImageError(HierError):
    """An image that cannot be used. The message says what is wrong and what to do, without the file's name."""


class FlatImageError(ImageError):
    """An image of one value everywhere."""


def read_image(source: Path | str | NDArray[Any] | Image.Image | Tensor) -> Tensor:
    """One image as (3, H, W) float32 in [0, 1].

    Paths to PNG, JPEG, BMP, GIF, WebP, TIFF (8, 16 bit or float, first page) and ``.npy``; arrays (H, W),
    (H, W, 1 to 4) or (1 or 3, H, W). Bytes are divided by 255, floats in [0, 1] kept, all else is scaled by its own
    range; transparent pixels are laid on white. Raises ImageError.
    """
    match source:
        case Image.Image():
            array = _from_pillow(source)
        case Tensor():
            array = source.detach().cpu().numpy()
        case np.ndarray():
            array = source
        case str() | Path():
            array = _from_file(Path(source))
        case _:
            raise ImageError(f"a {type(source).__name__} is no image: give a path, an array or a PIL image")
    return _checked(array)


def _from_file(path: Path) -> NDArray[Any]:
    if path.is_dir():
        raise ImageError("is a folder: name the images in it")
    if not path.exists():
        raise ImageError("no such file")
    if path.stat().st_size == 0:
        raise ImageError("the file is empty")
    try:
        if path.suffix.lower() == ".npy":
            array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
            return array
        if path.suffix.lower() in {".tif", ".tiff"}:
            return _from_tiff(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                _check_size(image.height, image.width)
                return _from_pillow(image)
    except UnidentifiedImageError as error:
        raise ImageError("no image format that can be read: give PNG, JPEG, TIFF, BMP, GIF, WebP or .npy") from error
    except Image.DecompressionBombError as error:
        raise ImageError("far too large to read: crop or shrink it first") from error
    except MemoryError as error:
        raise ImageError("does not fit into memory: crop or shrink it first") from error
    except (OSError, EOFError, SyntaxError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"cannot be read, the file may be damaged: {error}") from error


def _from_tiff(path: Path) -> NDArray[Any]:
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages[0]
            _check_size(*page.shape[:2])
            array: NDArray[Any] = page.asarray()
            return array
    except (tifffile.TiffFileError, KeyError, IndexError, TypeError) as error:
        raise ImageError(f"cannot be read as TIFF: {error}") from error


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
    if float(image.max() - image.min()) < 1e-4:
        raise FlatImageError("every pixel has the same value: there is nothing to find")
    return image.expand(3, -1, -1)


def _scaled(array: NDArray[Any]) -> NDArray[np.float32]:
    if array.dtype.kind == "b":
        return array.astype(np.float32)
    if array.dtype == np.uint8:
        return array.astype(np.float32) / 255
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        raise ImageError(f"{bad} of {array.size} values are NaN or infinite: fill or crop them first")
    low, high = float(array.min()), float(array.max())
    if array.dtype.kind == "f" and low >= 0 and high <= 1:
        return array.astype(np.float32)
    return ((array.astype(np.float64) - low) / max(high - low, 1e-300)).astype(np.float32)


def images_in(folder: Path) -> Iterator[tuple[str, Path]]:
    """(label, file) of a folder with one subfolder of images for each label, in order."""
    for sub in sorted(p for p in folder.iterdir() if p.is_dir()):
        for file in sorted(sub.rglob("*")):
            if file.suffix.lower() in SUFFIXES:
                yield sub.name, file
