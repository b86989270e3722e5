"""Pictures that Pillow decodes: PNG, JPEG, BMP, GIF, WebP, and TIFF of rare kinds."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .errors import check_size
from .picture import Reading, page_index

# Pillow looks at what a file holds rather than at its name, and would hand EPS to Ghostscript
COMMON = ("PNG", "JPEG", "BMP", "DIB", "GIF", "WEBP", "PPM")
GREY = ("I;16", "I;16B", "I;16L", "I", "F", "L")  # modes that stay one channel
RARE = ("TIFF", "JPEG2000", "AVIF", "TGA", "ICO", "PCX", "SGI", "QOI")


def open_pillow(path: Path, reading: Reading, formats: tuple[str, ...] = COMMON) -> NDArray[Any]:
    """One page of a picture of one of the `formats`, as `from_pillow` has it.

    Raises ImageError and whatever Pillow raises.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(path, formats=formats) as image:
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
