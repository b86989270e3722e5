"""Masked arrays as plain ones: nothing that is masked counts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import ImageError


def without_masked(array: np.ma.MaskedArray[Any, Any]) -> NDArray[Any]:
    """An image (..., H, W) or (H, W, channels) of which nothing masked is left.

    Rows and columns at the edges in which all is masked are cut off; what else is masked takes the median of the rest,
    in each channel. A px counts as masked where one of its channels is. Raises ImageError where nothing is left.
    """
    masked, values = np.ma.getmaskarray(array), np.asarray(array.data)
    if not masked.any() or array.ndim < 2:
        return values
    coloured = array.ndim == 3 and array.shape[-1] in (1, 2, 3, 4)
    planes = np.moveaxis(values, -1, 0) if coloured else values.reshape(-1, *values.shape[-2:])
    hidden = np.stack([masked.any(-1)] * len(planes)) if coloured else masked.reshape(planes.shape)
    seen = ~hidden.all(0)
    if not seen.any():
        raise ImageError("all of it is masked: nothing to analyse")
    rows, columns = (np.flatnonzero(np.any(seen, axis)) for axis in (1, 0))
    box = (..., slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    kept, gone = planes[box].copy(), hidden[box]
    for plane, bad in zip(kept, gone, strict=True):
        if bad.any() and not bad.all():
            plane[bad] = np.median(plane[~bad])
    return np.moveaxis(kept, 0, -1) if coloured else kept.reshape(*values.shape[:-2], *kept.shape[-2:])
