"""The window of a map, chosen from the lattices in the field: large enough for nine cells of each."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from ...models.evidence.lattice import find_lattice
from ..reading.images import ImageError, as_tensor
from ..reading.picture import Picture
from .measure import CELLS
from .sizes import LARGEST

USUAL, STEP = 128, 16  # px: the smallest that is chosen, and of what it is a multiple
SIDES = (512, 256)  # px, of the parts of a field that are looked at
PLACES = 5  # along each axis, at most
CLEAR = 0.45  # least level of a lattice that counts


@torch.inference_mode()
def window_for(picture: Picture) -> int:
    """A side in px that holds `CELLS` cells of every lattice that is clear in the field, and no less than `USUAL`.

    The field is looked at in larger parts, so that a lattice is seen with many cells: in too small a window it is taken
    for a finer one. Never larger than the picture, or `LARGEST`.
    """
    height, width = picture.array.shape[:2]
    areas = [
        area
        for side in SIDES
        for top in _starts(height, side)
        for left in _starts(width, side)
        if (area := _area(picture.array[top : top + side, left : left + side])) is not None
    ]
    needed: int = math.ceil(math.sqrt(CELLS * max(areas, default=0.0)) / STEP) * STEP
    side: int = min(max(needed, USUAL), LARGEST, height, width)
    return side


def _starts(length: int, side: int) -> list[int]:
    """Where parts of `side` px begin along an axis, about half of each in the next."""
    room = max(0, length - side)
    count = min(PLACES, 1 + math.ceil(2 * room / side))
    return sorted({round(k * room / max(1, count - 1)) for k in range(count)})


def _area(pixels: NDArray[np.generic]) -> float | None:
    """Px^2 of the primitive cell in a part of a field; None where no lattice is clear, or the part cannot be read."""
    part = np.asarray(pixels)
    if not np.isfinite(part).all():
        return None
    try:
        found = find_lattice(as_tensor(part)[None])
    except ImageError:  # of one value everywhere
        return None
    area = float(torch.linalg.det(found.basis[0]).abs())
    enough = part.shape[0] * part.shape[1] >= CELLS * area
    return area if enough and float(found.level[0]) >= CLEAR else None
