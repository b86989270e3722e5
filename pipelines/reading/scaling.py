"""Pixels of any kind to float32 in [0, 1], a band of rows at a time: a large image is in memory once as floats."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .errors import FlatImageError, ImageError, check_size

ROUNDING = 1e-6  # differences below it, relative to the largest value, do not count as contrast
FAINT = 1e-3  # floats in [0, 1] of less contrast are measurements in some unit: heights in metres, say
BAND = 2**20  # values that are worked on at a time
Scale = Callable[[NDArray[Any]], NDArray[np.float32]]


def as_tensor(array: NDArray[Any]) -> Tensor:
    """(3, H, W) float32 in [0, 1] of an array (H, W) or (H, W, 1 to 4); ImageError for a constant image.

    ImageError also for one that `check_size` rejects: of more than 120 million px, or 75 million in colour.
    """
    if array.ndim == 2:
        array = array[..., None]
    height, width, channels = array.shape
    transparent = channels in (2, 4)
    check_size(height, width, channels - transparent)
    scale = _scale(np.asarray(array))
    found = np.empty((channels - transparent, height, width), np.float32)
    for rows in _bands(array):
        scaled = scale(array[rows])
        if transparent:
            alpha = scaled[..., -1:].clip(0, 1)
            scaled = scaled[..., :-1] * alpha + (1 - alpha)
        found[:, rows] = np.moveaxis(scaled, -1, 0)
    image = torch.from_numpy(found)
    if float((image.amax((1, 2)) - image.amin((1, 2))).max()) < ROUNDING:  # a flat colour's channels differ
        raise FlatImageError("the image is constant: nothing to analyse")
    return image.expand(3, -1, -1)


def _bands(array: NDArray[Any]) -> Iterator[slice]:
    """Slices of rows, each of about `BAND` values."""
    step = max(1, BAND * len(array) // max(1, array.size))
    return (slice(start, min(start + step, len(array))) for start in range(0, len(array), step))


def _scale(array: NDArray[Any]) -> Scale:
    """What makes [0, 1] of part of an array: bytes by 255, floats that fill part of it as they are, others by range."""
    if array.dtype.kind == "b":
        return lambda part: part.astype(np.float32)
    if array.dtype == np.uint8:
        return lambda part: part.astype(np.float32) / np.float32(255)
    if array.dtype.kind == "f":
        bad = sum(int((~np.isfinite(_double(array[rows]))).sum()) for rows in _bands(array))
        if bad:
            raise ImageError(f"{bad} of {array.size} values are NaN or infinite: fill or crop them first")
    low, high = float(array.min()), float(array.max())
    largest = max(abs(low), abs(high))
    if high / max(largest, 1e-300) - low / max(largest, 1e-300) < ROUNDING:
        raise FlatImageError("the image is constant: nothing to analyse")
    if array.dtype.kind == "f" and low >= 0 and high <= 1 and high - low > FAINT:
        return lambda part: part.astype(np.float32)
    start, span = low / largest, high / largest - low / largest
    return lambda part: ((_double(part) / largest - start) / span).astype(np.float32)


def _double(array: NDArray[Any]) -> NDArray[np.float64]:
    """64 bits: long doubles may be too large for them, and become infinite."""
    with np.errstate(over="ignore"):
        return array.astype(np.float64)
