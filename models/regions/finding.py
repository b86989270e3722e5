"""All regions of an image, the largest first."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..evidence.crops import Box
from ..straightening.matching import Matcher
from ..straightening.plane import connected
from ..straightening.resample import largest_rectangle
from .growing import Grown, grown
from .seeds import Seed, seeds
from .shapes import Ring, outlines, smoothed

SIDE = 448  # px: geometric mean of the sides at which regions are looked for
TRIES = 4  # seeds without a region, one after another, after which no more are followed
TAKEN = 0.3  # of a window: a seed of which more lies in regions is not followed
CELLS = 5.0  # fewest cells in a region
SHARE = 0.03  # least share of the view
CLEAR = 0.45  # least usual agreement of a region


@dataclass(frozen=True)
class Region:
    """A part of an image in which one lattice repeats, in px of the image.

    `mask` (H, W), its `share` of the view, its `bounds` and the largest upright rectangle `within` it (left, top,
    width and height), its `outline` and those of the `holes` in it, points (x, y). It has so many `cells`; `agreement`
    is their usual correlation with the average of the others.
    """

    mask: Tensor
    share: float
    bounds: Box
    within: Box
    outline: Ring
    holes: tuple[Ring, ...]
    agreement: float
    cells: float

    def moved(self, x: int, y: int) -> Region:
        """The same in px of a larger image, in which this one's begins at (x, y); the mask stays that of this one."""
        if not (x or y):
            return self
        boxes: dict[str, Any] = {
            name: (b[0] + x, b[1] + y, b[2], b[3]) for name in ("bounds", "within") if (b := getattr(self, name))
        }
        rings = [tuple((p + x, q + y) for p, q in ring) for ring in (self.outline, *self.holes)]
        return replace(self, outline=rings[0], holes=tuple(rings[1:]), **boxes)


@torch.inference_mode()
def find_regions(image: Tensor) -> list[Region]:
    """The regions of an image (C, H, W), any range, the largest first; none of one without a lattice."""
    return regions_and_best(image)[0]


@torch.inference_mode()
def repeats_best(image: Tensor) -> Box | None:
    """The window of an image (C, H, W) that repeats best, as `seeds` has it; None where that is the whole, or none."""
    small, share = _small(image)
    return _best(seeds(small), small, share)


@torch.inference_mode()
def regions_and_best(image: Tensor) -> tuple[list[Region], Box | None]:
    """What `find_regions` and `repeats_best` find, in the time of the first."""
    _, height, width = image.shape
    small, share = _small(image)
    some = seeds(small)
    regions = [_region(mask, found, (height, width)) for mask, found in _apart(_grown(small, some))]
    return regions, _best(some, small, share)


def _best(some: list[Seed], small: Tensor, share: float) -> Box | None:
    if not some or some[0].box[2:] == (small.shape[-1], small.shape[-2]):
        return None
    left, top, width, height = (round(x / share) for x in some[0].box)
    return left, top, width, height


def _small(image: Tensor) -> tuple[Tensor, float]:
    """An image of `SIDE` px at most, one channel of greys, and its scale."""
    _, height, width = image.shape
    share = min(1.0, SIDE / math.sqrt(height * width))
    if image.shape[0] == 3 and torch.equal(image[:2], image[1:]):
        image = image[:1]
    if share == 1:
        return image, share
    size = (max(1, round(height * share)), max(1, round(width * share)))
    return F.interpolate(image[None], size, mode="bilinear", antialias=True)[0], share


def _grown(image: Tensor, some: list[Seed]) -> list[Grown]:
    matcher = Matcher(image)
    free = torch.ones(image.shape[-2:], dtype=torch.bool)
    made: list[Grown] = []
    failed = 0
    for seed in some:
        if failed == TRIES or float(free.float().mean()) < SHARE:
            break
        if not _open(seed, free):
            continue
        found = grown(matcher, seed, free)
        if found is None or found.usual <= CLEAR or not _enough(found.mask, found, matcher.unit):
            failed += 1
            continue
        made.append(found)
        free, failed = free & ~found.mask, 0
    return made


def _open(seed: Seed, free: Tensor) -> bool:
    left, top, width, height = seed.box
    return float(free[top : top + height, left : left + width].float().mean()) >= 1 - TAKEN


def _enough(mask: Tensor, found: Grown, unit: float) -> bool:
    area = float(mask.sum())
    return area >= SHARE * mask.numel() and area >= CELLS * (found.lattice.side * unit) ** 2


def _apart(made: list[Grown]) -> list[tuple[Tensor, Grown]]:
    """Masks that share no pixel: each goes to the region whose cells it agrees with best, relative to what is usual."""
    if not made:
        return []
    unit = math.sqrt(made[0].mask.numel()) / 2
    score = torch.stack([torch.where(f.mask, f.agreement / f.usual, -1.0) for f in made])
    best = score.argmax(0)
    masks = [connected(smoothed(f.mask & (best == k), f.lattice.side * unit), f.mask) for k, f in enumerate(made)]
    kept = [(mask, f) for mask, f in zip(masks, made, strict=True) if _enough(mask, f, unit)]
    return sorted(kept, key=lambda pair: -int(pair[0].sum()))


def _region(mask: Tensor, found: Grown, shape: tuple[int, int]) -> Region:
    cells = float(mask.sum()) / (found.lattice.side * math.sqrt(mask.numel()) / 2) ** 2
    rings = [_enlarged(ring, (shape[1] / mask.shape[1], shape[0] / mask.shape[0])) for ring in outlines(mask)]
    if mask.shape != shape:
        mask = F.interpolate(mask[None, None].float(), shape, mode="bilinear")[0, 0] > 0.5
    rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
    left, top = int(columns[0]), int(rows[0])
    return Region(
        mask, float(mask.float().mean()), (left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top),
        largest_rectangle(~mask), rings[0], tuple(rings[1:]), found.usual, cells,
    )  # fmt: skip


def _enlarged(ring: Ring, by: tuple[float, float]) -> Ring:
    return tuple((by[0] * (x + 0.5) - 0.5, by[1] * (y + 0.5) - 0.5) for x, y in ring)
