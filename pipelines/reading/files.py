"""From a file's name to the reader of its format."""

from __future__ import annotations

import warnings
from glob import has_magic
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from . import afm as read_afm
from . import em as read_em
from .errors import LARGEST, ImageError, check_size
from .gwy import read_gwy
from .hdf5 import read_hdf5
from .picture import Picture, Reading, page_index, page_of_stack
from .raw import read_raw
from .tiff import read_tiff

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".npy")
HDF5 = (".h5", ".hdf5", ".nxs", ".hdf")
RAW = (".raw", ".bin")
EM, AFM = tuple(read_em.MODULES), read_afm.SUFFIXES
GWY = ".gwy"
SUFFIXES = {
    *PICTURES,
    *HDF5,
    *EM,
    *AFM,
    GWY,
}  # what is looked for in folders; bare pixels only when their layout is given
INSIDE = "::"  # between a file's name and a path inside it


def split_inside(name: str) -> tuple[Path, str]:
    """The file of ``FILE::/path/inside``, and the path inside it, empty when none is given."""
    file, _, inside = name.partition(INSIDE)
    return (Path(name), "") if not inside or Path(name).exists() else (Path(file), inside)


def read_file(name: Path | str, reading: Reading, mapped: bool = False) -> Picture:
    """The picture in the file `name`, by its suffix. Raises ImageError and whatever a decoder raises.

    Compressed files of more than `LARGEST` px are rejected; with `mapped`, others are not.
    """
    path, inside = split_inside(str(name))
    if path.is_dir():
        raise ImageError("is a folder without images that can be read")
    if not path.exists():
        raise ImageError("no such file" if not has_magic(str(name)) else "no such file, and no file that matches it")
    if path.stat().st_size == 0:
        raise ImageError("the file is empty")
    suffix = path.suffix.lower()
    if inside and suffix not in HDF5:
        raise ImageError(f"a path inside ({INSIDE}{inside}) is for HDF5 files ({', '.join(HDF5)})")
    largest = None if mapped else LARGEST
    if suffix == ".npy":
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        return Picture(page_of_stack(array, reading.page))
    if suffix in (".tif", ".tiff"):
        picture = read_tiff(path, reading, largest)
        return picture if picture is not None else Picture(_open_pillow(path, reading))
    if suffix in RAW:
        return read_raw(path, reading, largest)
    if suffix in HDF5:
        return read_hdf5(path, inside, reading, LARGEST)
    if suffix in EM:
        return read_em.read_em(path, reading, LARGEST)
    if suffix == GWY:
        page_index(reading.page, 1)
        return read_gwy(path, reading)
    if suffix in AFM:
        return read_afm.read_afm(path, reading, LARGEST)
    return Picture(_open_pillow(path, reading))


def _open_pillow(path: Path, reading: Reading) -> NDArray[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(path) as image:
            check_size(image.height, image.width)
            index = page_index(reading.page, getattr(image, "n_frames", 1)) if reading.page is not None else 0
            if index:
                image.seek(index)
            return from_pillow(image)


def from_pillow(image: Image.Image) -> NDArray[Any]:
    """A PIL picture as (H, W) or (H, W, channels), its depth kept."""
    if image.mode in {"I;16", "I;16B", "I;16L", "I", "F", "L", "RGB", "RGBA"}:
        return np.asarray(image)
    return np.asarray(image.convert("RGBA" if "transparency" in image.info or image.mode in {"LA", "PA"} else "RGB"))
