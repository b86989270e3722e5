"""Masks of pixels: smoothed, grown, taken apart, and as outlines."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

SMOOTH = 0.35  # of a cell's side: how far a mask is opened and closed
SPECK = 0.7  # of a cell: smaller holes are filled
DETAIL = 0.004  # of the view's side: by how much an outline may be off

Ring = tuple[tuple[float, float], ...]


def around(mask: Tensor, distance: float) -> Tensor:
    """What lies in a mask (H, W) or within `distance` px of it, along x and y."""
    n = max(1, round(distance))
    grown = mask[None, None].float()
    grown = F.max_pool2d(grown, (2 * n + 1, 1), 1, (n, 0))
    made: Tensor = F.max_pool2d(grown, (1, 2 * n + 1), 1, (0, n))[0, 0] > 0.5
    return made


def expanded(mask: Tensor, distance: float) -> Tensor:
    """What lies in a mask (H, W) or within `distance` px of it."""
    from scipy import ndimage

    if not mask.any():
        return mask
    return torch.from_numpy(ndimage.distance_transform_edt(~mask.numpy()) <= distance)


def smoothed(mask: Tensor, side: float) -> Tensor:
    """A mask (H, W) without threads, specks and holes that are small beside cells of `side` px."""
    from scipy import ndimage

    n = max(1, round(SMOOTH * side))
    padded = F.pad(mask[None, None].float(), (n, n, n, n), mode="replicate")[0, 0] > 0.5
    opened = expanded(~expanded(~padded, n), n)[n:-n, n:-n].numpy()
    holes, _ = ndimage.label(~opened)
    small = np.bincount(holes.ravel()) < SPECK * side**2
    small[0] = False
    return torch.from_numpy(opened | small[holes])


def outlines(mask: Tensor) -> tuple[Ring, ...]:
    """The rings about a mask (H, W), the longest first, then its holes: points (x, y) in px, closed."""
    from skimage import measure

    trace, simpler = cast(Any, measure.find_contours), cast(Any, measure.approximate_polygon)  # they have no types
    detail = max(0.7, DETAIL * math.sqrt(mask.numel()))
    rings = trace(np.pad(mask.numpy().astype(float), 1), 0.5)
    rings = sorted(rings, key=len, reverse=True)
    made = [simpler(ring - 1, detail)[:, ::-1] for ring in rings]
    return tuple(tuple((float(x), float(y)) for x, y in ring) for ring in made if len(ring) > 3)
