"""Arrays of MATLAB up to version 7.2 and of NetCDF 3, through scipy; later versions of both are HDF5."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import SMALLEST, ImageError, check_bytes, check_size
from .picture import Picture, Reading, image_axes, page_index, page_of_stack

SUFFIXES = (".mat", ".nc")
SHOWN = 6  # arrays of a file named in an error


def read_arrays(path: Path, inside: str, reading: Reading, largest: int | None) -> Picture:
    """The array named `inside`, or the only one that can be an image; of a stack the page asked for."""
    load = _mat if path.suffix.lower() == ".mat" else _netcdf
    arrays = {
        name: array for name, array in load(path, inside).items() if array.ndim > 1 and array.dtype.kind in "buif"
    }
    names = ", ".join(f"{name} {array.shape}" for name, array in [*arrays.items()][:SHOWN]) or "none"
    images = [name for name, array in arrays.items() if min(array.shape[-2:]) >= SMALLEST]
    name = inside.strip("/") or (images[0] if len(images) == 1 else "")
    if name not in arrays:
        what = f"has no array {name}" if name else "name the array after the file, as in FILE::name"
        raise ImageError(f"{what}; its arrays: {names}")
    array = arrays[name]
    axes = image_axes(array.shape)
    if array.ndim > axes and reading.page is None:
        raise ImageError(f"{name} has shape {array.shape}: a stack; give --page N to choose one image of it")
    if array.ndim == axes:
        page_index(reading.page, 1)
    check_size(*array.shape[-axes:][:2], largest=largest)
    return Picture(page_of_stack(array, reading.page))


def _mat(path: Path, inside: str) -> dict[str, NDArray[Any]]:
    from scipy.io import loadmat, whosmat

    sides = {name: shape for name, shape, kind in whosmat(path) if kind not in ("struct", "cell", "char", "object")}
    wanted = [inside.strip("/")] if inside else [name for name, shape in sides.items() if len(shape) > 1]
    wanted = [name for name in wanted if name in sides] or [*sides]
    for name in wanted:
        check_bytes(8 * int(np.prod(sides[name], dtype=np.float64)), name)
    found = loadmat(path, variable_names=wanted)
    return {name: np.asarray(found[name]) for name in wanted if name in found}


def _netcdf(path: Path, _: str) -> dict[str, NDArray[Any]]:
    from scipy.io import netcdf_file

    check_bytes(path.stat().st_size)
    with netcdf_file(path, "r", mmap=False) as file:
        return {name: np.array(variable.data) for name, variable in file.variables.items()}
