"""An array in an HDF5 file: ``file.h5::/path/inside``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from .errors import ImageError, check_bytes, check_size, missing_reader
from .hdf5_bounds import check_array, within
from .picture import Picture, Reading, page_index
from .pixel_size import PixelSize, pixel_size_from

SHOWN = 6  # arrays of a file named in an error


def read_hdf5(path: Path, inside: str, reading: Reading, largest: int | None) -> Picture:
    """The array at `inside`, or the only one that can be an image. For a stack (..., H, W), the page asked for.

    The pixel size is read from ``element_size_um``, as Fiji and ilastik write it. Other files are not followed.
    """
    try:
        import h5py
    except ImportError as error:
        raise missing_reader(path.suffix, "h5py") from error
    with h5py.File(path, "r") as file:
        found = _find(file, inside)
        if found.dtype.names or found.dtype.kind not in "buif":
            raise ImageError(f"{found.name} holds {found.dtype}: an array of integers or floats is needed")
        check_array(found)
        shape = found.shape
        colour = len(shape) == 3 and (shape[-1] in (1, 2, 3, 4) or shape[0] in (1, 3))
        if len(shape) == 2 or (colour and reading.page is None):
            page_index(reading.page, 1)
            check_size(*(shape[:2] if len(shape) == 2 or shape[-1] in (1, 2, 3, 4) else shape[1:]), largest=largest)
            check_bytes(found.nbytes)
            return Picture(found[()], _pixel_size(found))
        if len(shape) < 2:
            raise ImageError(f"{found.name} has shape {shape}: not an image")
        if reading.page is None:
            raise ImageError(f"{found.name} has shape {shape}: a stack; give --page N to choose one image of it")
        check_size(*shape[-2:], largest=largest)
        index = page_index(reading.page, math.prod(shape[:-2]))
        return Picture(found[np.unravel_index(index, shape[:-2])], _pixel_size(found))


def _find(file: Any, inside: str) -> Any:
    import h5py

    arrays: list[Any] = []
    file.visititems(lambda _, item: arrays.append(item) if isinstance(item, h5py.Dataset) and item.ndim >= 2 else None)
    names = ", ".join(f"{item.name} {item.shape}" for item in arrays[:SHOWN])
    names = (names or "none") + (" ..." if len(arrays) > SHOWN else "")
    if inside:
        item = within(file, inside)
        if not isinstance(item, h5py.Dataset):
            what = "is a group" if item is not None else "is not there"
            raise ImageError(f"{inside} {what} in this file; its arrays: {names}")
        return item
    if len(arrays) != 1:
        raise ImageError(f"name the array after the file, as in FILE.h5::/path; its arrays: {names}")
    return arrays[0]


def _pixel_size(found: Any) -> PixelSize | None:
    sizes = np.asarray(found.attrs.get("element_size_um", []), dtype=float).reshape(-1)
    return pixel_size_from(float(sizes[-1]), "um") if sizes.size else None
