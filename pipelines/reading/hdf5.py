"""An array in an HDF5 file: ``file.h5::/path/inside``, or the one that NeXus and HyperSpy mean to be shown."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import SMALLEST, ImageError, check_bytes, check_size, missing_reader
from .hdf5_bounds import check_array, within
from .picture import Picture, Reading, image_axes, page_index, plain
from .pixel_size import PixelSize, from_sides

SHOWN = 6  # arrays of a file named in an error
DEPTH = 8  # of groups, each of which tells the next by `default`
EVEN = 0.01  # a step between two pixels may differ so much from the mean: axes are kept as 32-bit floats, too
MATLAB = "MATLAB_class"  # attribute of what MATLAB wrote: its arrays lie with their axes in reverse


def read_hdf5(path: Path, inside: str, reading: Reading, largest: int | None) -> Picture:
    """The array at `inside`, or the one that is to be shown, or the only one. For a stack, the page asked for.

    A group shows what its attributes ``default`` and ``signal`` lead to (NeXus). The pixel size is read from
    ``element_size_um``, as Fiji and ilastik write it, and from the axes of HyperSpy and NeXus. Other files are not
    followed.
    """
    try:
        import h5py
    except ImportError as error:
        raise missing_reader(path.suffix, "h5py") from error
    with h5py.File(path, "r") as file:
        found, group = _find(file, inside)
        if not _numbers(found):
            raise ImageError(f"{found.name} holds {found.dtype}: an array of integers or floats is needed")
        check_array(found)
        return Picture(page_of_array(found, reading.page, largest), _pixel_size(found, group))


def page_of_array(found: Any, page: int | None, largest: int | None) -> NDArray[Any]:
    """One page of an array in a file, read alone. ImageError for one that is too large or not there."""
    turned = MATLAB in found.attrs
    shape = found.shape[::-1] if turned else found.shape
    if len(shape) < 2:
        raise ImageError(f"{found.name} has shape {shape}: not an image")
    first = len(shape) == 3 and shape[0] in (1, 3) and page is None and not found.dtype.names  # channels
    axes = 3 if first else image_axes(shape)
    pages = math.prod(shape[:-axes])
    if page is None and pages > 1:
        raise ImageError(f"{found.name} has shape {shape}: a stack; give --page N to choose one image of it")
    check_size(*(shape[1:] if first else shape[-axes:][:2]), largest=largest)
    check_bytes(found.dtype.itemsize * math.prod(shape[-axes:]))
    at = tuple(int(k) for k in np.unravel_index(page_index(page, pages), shape[:-axes])) if shape[:-axes] else ()
    array: NDArray[Any] = found[(..., *at[::-1])].T if turned else found[at]
    return plain(array)


def _numbers(array: Any) -> bool:
    return array.dtype.kind in "buif" or set(array.dtype.names or ()) >= {"R", "G", "B"}


def _find(file: Any, inside: str) -> tuple[Any, Any]:
    """The array, and the group that says what its axes are."""
    import h5py

    item = within(file, inside) if inside else file
    if isinstance(item, h5py.Dataset):
        return item, item.parent
    arrays: list[Any] = []
    file.visititems(lambda _, item: arrays.append(item) if isinstance(item, h5py.Dataset) and item.ndim >= 2 else None)
    names = ", ".join(f"{item.name} {item.shape}" for item in arrays[:SHOWN])
    names = (names or "none") + (" ..." if len(arrays) > SHOWN else "")
    if item is None:
        raise ImageError(f"{inside} is not there in this file; its arrays: {names}")
    shown = _shown(file, item)
    if shown is not None:
        return shown
    here = [a for a in arrays if item.name == "/" or a.name.startswith(f"{item.name}/")]
    images = [a for a in here if _numbers(a) and min(a.shape[-2:]) >= SMALLEST]
    for several in (images, here):
        if len(several) == 1:
            return several[0], several[0].parent
    if not here:
        raise ImageError(f"{inside or 'the file'} holds no array that could be an image; its arrays: {names}")
    group = f"{inside} is a group: " if inside else ""
    raise ImageError(f"{group}name the array after the file, as in FILE.h5::/path; its arrays: {names}")


def _shown(file: Any, group: Any) -> tuple[Any, Any] | None:
    """The array to which `default` and `signal` lead from a group, and the last group on the way; None for nowhere."""
    import h5py

    for _ in range(DEPTH):
        told = group.attrs.get("signal", group.attrs.get("default"))
        told = told.decode() if isinstance(told, bytes) else told
        if not isinstance(told, str):
            return None
        item = within(file, f"{group.name}/{told}")
        if item is None or isinstance(item, h5py.Dataset):
            return None if item is None else (item, group)
        group = item
    return None


def _pixel_size(found: Any, group: Any) -> PixelSize | None:
    sizes = np.asarray(found.attrs.get("element_size_um", []), dtype=float).reshape(-1)
    if sizes.size:
        return from_sides(float(sizes[-1]), "um", float(sizes[-min(2, sizes.size)]), "um")
    return axes_pixel_size(found, found.parent) or _nexus_pixel_size(found, group)


def axes_pixel_size(found: Any, group: Any) -> PixelSize | None:
    """From HyperSpy's groups ``axis-0``, ``axis-1``, ... beside an array."""
    axes = [group.get(f"axis-{k}") for k in (found.ndim - 1, found.ndim - 2)]
    if any(axis is None for axis in axes):
        return None
    sides = [(float(axis.attrs.get("scale", 0)), _text(axis.attrs.get("units"))) for axis in axes]
    return from_sides(*sides[0], *sides[1])


def _nexus_pixel_size(found: Any, group: Any) -> PixelSize | None:
    """From the last two axes that the group of an array names in its attribute ``axes``, where they are even."""
    named = group.attrs.get("axes", [])
    names = re.split("[:,]", _text(named).strip("[]")) if isinstance(named, (str, bytes)) else [_text(n) for n in named]
    sides = []
    for name, count in zip(names[::-1][:2], found.shape[::-1], strict=False):
        axis = within(found.file, f"{group.name}/{name}")
        if axis is None or getattr(axis, "shape", ()) != (count,) or axis.dtype.kind not in "iuf":
            return None
        steps = np.diff(axis[:].astype(float))
        if not np.allclose(steps, steps.mean(), rtol=EVEN, atol=0):
            return None
        sides.append((float(steps.mean()), _text(axis.attrs.get("units"))))
    return from_sides(*sides[0], *sides[1]) if len(sides) == 2 else None


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else "" if value is None else str(value)
