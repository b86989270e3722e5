"""Images of other libraries with their calibration: HyperSpy, xarray, sidpy, told by what they have, not imported."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .picture import Picture, plain
from .pixel_size import PixelSize, from_sides

UNEVEN = 0.01  # share of its mean by which the spacing of coordinates may vary
Side = tuple[float, str]  # a pixel's, with its unit


def picture_of(source: Any) -> Picture | None:
    """The picture that an image of such a library holds, or any other object that numpy takes; None for others.

    HyperSpy: ``data`` and ``axes_manager``. xarray: ``values``, ``dims`` and ``coords``, whose units are ``units`` or
    ``unit`` among their ``attrs``. sidpy: an array with ``_axes``, each with ``slope`` and ``units``.
    """
    if isinstance(source, (str, bytes, list, tuple, dict)):
        return None
    if hasattr(source, "axes_manager") and hasattr(source, "data"):
        sides = [_side(axis, "scale") for axis in source.axes_manager.signal_axes[:2]]  # x first
        return Picture(plain(np.asarray(source.data)), _square(sides))
    if all(hasattr(source, name) for name in ("values", "dims", "coords")):
        array = np.asarray(source.values)
        y, x = _image_dims(array, list(source.dims))
        return Picture(array, _square([_spacing(source, x), _spacing(source, y)]))
    axes = getattr(source, "_axes", None)
    if isinstance(axes, dict) and hasattr(source, "__array__"):
        array = np.asarray(source)
        y, x = _image_dims(array, [axes.get(k) for k in range(array.ndim)])
        return Picture(array, _square([_side(x, "slope"), _side(y, "slope")]))
    return Picture(np.asarray(source)) if hasattr(source, "__array__") else None


def is_one(source: Any) -> bool:
    """Whether `source` is one image rather than a sequence of them."""
    return not isinstance(source, (list, tuple)) and any(
        hasattr(source, name) for name in ("__array__", "axes_manager", "coords")
    )


def _image_dims(array: NDArray[Any], dims: list[Any]) -> list[Any]:
    """Those of rows and columns: the last two, or those before channels."""
    last = 1 if array.ndim > 2 and array.shape[-1] in (1, 3, 4) else 0
    found = dims[: len(dims) - last][-2:]
    return found if len(found) == 2 else [None, None]


def _side(axis: Any, name: str) -> Side | None:
    value = getattr(axis, name, None)
    try:
        return None if value is None else (float(value), str(getattr(axis, "units", "")))
    except (TypeError, ValueError):
        return None


def _spacing(source: Any, dim: Any) -> Side | None:
    if dim not in source.coords:
        return None
    along = source.coords[dim]
    values = np.asarray(along.values)
    if values.ndim != 1 or len(values) < 2 or values.dtype.kind not in "iuf":
        return None
    steps = np.diff(values.astype(np.float64))
    if np.ptp(steps) > UNEVEN * abs(steps.mean()):
        return None
    return abs(float(steps.mean())), str(along.attrs.get("units", along.attrs.get("unit", "")))


def _square(sides: list[Side | None]) -> PixelSize | None:
    x, y = sides if len(sides) == 2 else (None, None)
    return None if x is None or y is None else from_sides(*x, *y)
