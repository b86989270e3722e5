"""From a file's name to the reader of its format."""

from __future__ import annotations

from glob import has_magic
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .apart import read_apart
from .errors import LARGEST, ImageError
from .foreign import AFM, ARRAYS, EM, FOREIGN, GWY, HDF5, is_hdf5
from .picture import Picture, Reading, page_of_stack
from .pillow import open_common, pillow_suffixes
from .raw import read_raw
from .tars import read_tar
from .zarr_store import STORES

__all__ = ["AFM", "ARRAYS", "EM", "GWY", "HDF5", "INSIDE", "RAW", "SUFFIXES", "is_store", "read_file", "split_inside"]

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".npy")
RAW = (".raw", ".bin")
TAR = ".tar"  # many images in a file, one of which is named or chosen by its page
# what is looked for in folders: not .emi, whose pixels are in a .ser; bare pixels only when their layout is given
SUFFIXES = {*PICTURES, *HDF5, *EM, *AFM, *ARRAYS, GWY} - {".emi"}
INSIDE = "::"  # between a file's name and a path inside it


def split_inside(name: str) -> tuple[Path, str]:
    """The file of ``FILE::/path/inside``, and the path inside it, empty when none is given."""
    file, _, inside = name.partition(INSIDE)
    return (Path(name), "") if not inside or Path(name).exists() else (Path(file), inside)


def is_store(path: Path | str) -> bool:
    """Whether a folder of that name is one image, or several, in Zarr."""
    return Path(path).suffix.lower() in STORES


def read_file(name: Path | str, reading: Reading, mapped: bool = False) -> Picture:
    """The picture in the file `name`, by its suffix, or by its first bytes if it is HDF5.

    Raises ImageError and whatever a decoder raises. Compressed files of more than `LARGEST` px are rejected; with
    `mapped`, others are not.
    """
    path, inside = split_inside(str(name))
    if path.is_dir() and is_store(path):
        return read_apart(path, inside, reading, None if mapped else LARGEST)
    if path.is_dir():
        raise ImageError("is a folder without images that can be read")
    if not path.exists():
        raise ImageError("no such file" if not has_magic(str(name)) else "no such file, and no file that matches it")
    if path.stat().st_size == 0:
        raise ImageError("the file is empty")
    suffix = path.suffix.lower()
    if inside and suffix not in (*ARRAYS, TAR) and not is_hdf5(path):
        raise ImageError(f"a path inside ({INSIDE}{inside}) is for HDF5, MATLAB, NetCDF and Zarr, and for .tar")
    if suffix == ".npy":
        array: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
        return Picture(page_of_stack(array, reading.page))
    if suffix == TAR:
        return read_tar(path, inside, reading)
    if suffix in RAW:
        return read_raw(path, reading, None if mapped else LARGEST)
    if suffix in FOREIGN or is_hdf5(path):
        return read_apart(path, inside, reading, None if mapped else LARGEST)
    if suffix and suffix not in PICTURES and suffix not in pillow_suffixes():
        raise ImageError(f"{suffix} files are not read: export the image as TIFF or PNG, or give its pixels with --raw")
    common = open_common(path, reading)
    return Picture(common) if common is not None else read_apart(path, inside, reading, LARGEST)
