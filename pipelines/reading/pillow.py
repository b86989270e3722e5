"""Pictures that Pillow decodes: PNG, JPEG, BMP, GIF, WebP, and TIFF of rare kinds."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from .errors import check_size
from .picture import Reading, page_index

# Pillow looks at what a file holds rather than at its name, and would hand EPS to Ghostscript
COMMON = ("PNG", "JPEG", "BMP", "DIB", "GIF", "WEBP", "PPM")
GREY = ("I;16", "I;16B", "I;16L", "I", "F", "L")  # modes that stay one channel
RARE = ("TIFF", "JPEG2000", "AVIF", "TGA", "ICO", "PCX", "SGI", "QOI")


@cache
def pillow_suffixes() -> frozenset[str]:
    """The suffixes of the formats that Pillow is asked to decode."""
    known = (*COMMON, *RARE)
    return frozenset(suffix for suffix, kind in Image.registered_extensions().items() if kind in known)


def open_common(path: Path | BinaryIO, reading: Reading) -> NDArray[Any] | None:
    """One page of a picture of one of the `COMMON` formats; None for others and for those that may take for ever.

    A progressive JPEG is such: each of its scans, of which a small file holds thousands, goes over the whole image.
    Raises ImageError and whatever Pillow raises.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(path, formats=COMMON)
        except UnidentifiedImageError:
            return None
        with image:
            return None if image.info.get("progressive") else _page(image, reading)


def open_any(path: Path, reading: Reading) -> NDArray[Any]:
    """One page of a picture of any format that is read. Raises ImageError and whatever Pillow raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(path, formats=(*COMMON, *RARE)) as image:
            return _page(image, reading)


def _page(image: Image.Image, reading: Reading) -> NDArray[Any]:
    check_size(image.height, image.width, 1 if image.mode in GREY else 3)
    index = page_index(reading.page, getattr(image, "n_frames", 1)) if reading.page is not None else 0
    if index:
        image.seek(index)
    return from_pillow(image)


def from_pillow(image: Image.Image) -> NDArray[Any]:
    """A PIL picture as (H, W) or (H, W, channels), its depth kept."""
    if image.mode in {*GREY, "RGB", "RGBA"}:
        return np.asarray(image)
    return np.asarray(image.convert("RGBA" if "transparency" in image.info or image.mode in {"LA", "PA"} else "RGB"))
