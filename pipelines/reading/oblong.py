"""Pixels that a file says are not square, made square: else no lattice in them is what it is in the specimen."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from .errors import check_size
from .pixel_size import Oblong, PixelSize


def squared(array: NDArray[Any], size: Oblong) -> tuple[NDArray[Any], PixelSize]:
    """An array (H, W) or (H, W, channels) with square pixels as small as the shorter side of those it has; their size.

    Its longer pixels are divided, by cubic interpolation within the range of its values. Raises ImageError where it
    would be too large.
    """
    rows, columns = array.shape[:2]
    if size.aspect > 1:
        rows, side = round(rows * size.aspect), size.value
    else:
        columns, side = round(columns / size.aspect), size.value * size.aspect
    check_size(rows, columns, 1 if array.ndim == 2 else array.shape[2])
    exact = np.float32 if array.dtype.itemsize < 4 else np.float64
    pixels = torch.from_numpy(array.astype(exact)).reshape(*array.shape[:2], -1).permute(2, 0, 1)
    made = F.interpolate(pixels[None], (rows, columns), mode="bicubic")[0].permute(1, 2, 0).numpy()
    if np.isfinite(array).all():
        made = made.clip(array.min(), array.max())
    made = (made if array.dtype.kind == "f" else np.rint(made)).reshape(rows, columns, *array.shape[2:])
    return made.astype(array.dtype), PixelSize(float(f"{side:.7g}"), size.unit)
