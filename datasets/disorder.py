"""Disorder of a crystal: atoms displaced and atoms missing, of severity 0 (none) to 5.

Where atoms are known they are moved or removed before anything is drawn. In other images the nearest equivalent is
done: the content is displaced, or blotted out here and there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .spots import Spots

DISPLACEMENT = 0.012  # of the primitive cell's edge (the root of its area), standard deviation, for each step
VACANCIES = 0.04  # share of atoms missing, for each step
GRAIN = 16  # px: an image's content is displaced and blotted out on this scale


def displaced(spots: Spots, cell_area: float, severity: float, rng: np.random.Generator) -> Spots:
    """Every atom (J, 2) px displaced by a normal vector, `DISPLACEMENT` of the cell's edge a step.

    A snapshot of thermal motion without correlation between atoms (Einstein's model).
    """
    at, site = spots
    return at + DISPLACEMENT * severity * np.sqrt(cell_area) * rng.standard_normal(at.shape), site


def thinned(spots: Spots, severity: float, rng: np.random.Generator) -> Spots:
    """Atoms removed, each with probability `VACANCIES` a step."""
    at, site = spots
    kept = rng.random(len(at)) >= VACANCIES * severity
    return at[kept], site[kept]


def thermal(images: Tensor, severity: Tensor, rngs: Sequence[np.random.Generator]) -> Tensor:
    """Content displaced by 0.5 px (standard deviation along each axis) a step, varying randomly across the image.

    For atoms `displaced` is used instead.
    """
    H, W = images.shape[-2:]
    shape = (2, H // GRAIN + 2, W // GRAIN + 2)
    drawn = np.stack([r.standard_normal(shape, dtype=np.float32) for r in rngs])
    field = F.interpolate(torch.from_numpy(drawn).to(images), (H, W), mode="bicubic", align_corners=True)
    shift = 0.5 * severity.to(images)[:, None, None, None] * field
    y = (torch.arange(H).to(images)[:, None] + shift[:, 1]) * 2 / H + (1 / H - 1)
    x = (torch.arange(W).to(images) + shift[:, 0]) * 2 / W + (1 / W - 1)
    moved = F.grid_sample(
        images, torch.stack([x, y], -1), mode="bilinear", padding_mode="reflection", align_corners=False
    )
    return torch.where(severity.to(images)[:, None, None, None] > 0, moved, images)


def vacancies(images: Tensor, severity: Tensor, rngs: Sequence[np.random.Generator]) -> Tensor:
    """Soft spots of the image's mean colour, `GRAIN` px wide, over 4 % of its area a step.

    For atoms `thinned` is used instead.
    """
    H, W = images.shape[-2:]
    grid = (H // GRAIN + 1, W // GRAIN + 1)
    hidden = []
    for s, r in zip(severity.tolist(), rngs, strict=True):
        missing = r.random(grid) < VACANCIES * s
        rows, columns = np.nonzero(missing)
        off = r.random((2, *grid))[:, rows, columns] - 0.5
        y = (np.arange(H)[None] - GRAIN * (rows + off[0])[:, None]) / (GRAIN / 2)
        x = (np.arange(W)[None] - GRAIN * (columns + off[1])[:, None]) / (GRAIN / 2)
        spot = np.exp(-((y[:, :, None] ** 2 + x[:, None, :] ** 2) ** 2))
        hidden.append(spot.max(0, initial=0.0))
    cover = torch.from_numpy(np.stack(hidden)).to(images)[:, None]
    return images + cover * (images.flatten(2).mean(-1)[..., None, None] - images)
