"""Flattening: light and instruments are no part of the repeat, and are taken away where the lattice says so.

Outliers are clipped and steep planes removed for what they are. Offsets of scan lines, shadows and bows are removed
only from images that look uneven, and only if a lattice then explains the image better: a pattern that repeats keeps
all it has. Every step treats all directions, or all places, alike, so that no symmetry is made or broken by it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ...arrays import in_pieces
from .background import above_rounding, clipped, levelled, without_slope
from .lattice import Lattice
from .repeats import levels_on

BLOCKS = 16  # blocks along each axis in which light is looked for, ...
COARSE = 2.0  # ... blurred by as many of them: cells of up to a third of the side are averaged
UNEVEN = 0.006  # share of the variance in such blocks from which an image is tried without them
PLAINLY = 0.03  # share from which it is tried however well a lattice explains it
SHADOWED = 0.1  # and from which its lattice may be nothing but light
UNFIT = 0.15  # level that such a lattice loses without the light, ...
ROUGH = 0.01  # and in the differences between neighbouring rows' means
SCALES = (10.0, 20.0, 6.0)  # px: standard deviations of the local mean, in the order in which they are tried
CLEAR = 0.8  # level from which no other scale is tried, unless the light may have it
TRUSTED, MANY = 0.95, 12.0  # an image whose lattice has this level, with so many cells in view, is not tried at all
NOTHING = 1e-12  # weight below which a pixel does not count
GAIN = 0.15  # least local deviation that is divided by, of its mean
BETTER = 0.03  # by which the merit of a lattice must rise; the merit is its level ...
FINER = 0.06  # ... and this for each doubling of the number of cells in view


@dataclass(frozen=True)
class Flattened:
    """What was done to each of B images before they were read.

    `clip` (B,) bool: values far outside the others' range were clipped; `plane`: a plane was taken away that hid the
    pattern (milder ones always are); `lines`: each row's median was, or each column's. `local` (B,): the standard
    deviation in px of the Gaussian whose local mean was subtracted and whose local deviation was divided by; 0 where
    neither was.
    """

    clip: Tensor
    plane: Tensor
    lines: Tensor
    local: Tensor

    @classmethod
    def nothing(cls, images: Tensor) -> Flattened:
        """Of images that are taken as they are."""
        no = torch.zeros(len(images), dtype=torch.bool, device=images.device)
        return cls(no, no, no, no.to(torch.float32))


def flattened(images: Tensor, find: Callable[[Tensor], Lattice]) -> tuple[Tensor, Lattice, Flattened]:
    """Images (B, C, H, W) of any range less light and instruments, their lattices by `find`, and what was done.

    Images that need nothing are returned to the bit. `find` is `find_lattice`; it is called once for all images, and
    again for those that are tried in another way.
    """
    images, clip = clipped(images)
    flat, plane = levelled(images)
    if plane.any():
        images = torch.where(plane[:, None, None, None], flat, images)
    none = Flattened.nothing(images)
    state = _State(images, find(images), none.lines, none.local)
    cells = images.shape[-2] * images.shape[-1] / torch.linalg.det(state.lattice.basis).abs()
    uneven, across, down = in_pieces(
        lambda some: torch.stack([unevenness(some), roughness(some, -1), roughness(some, -2)], -1), flat
    ).unbind(-1)
    shadowed = uneven > SHADOWED
    doubted = (state.lattice.level < TRUSTED) | (cells < MANY)
    for along in (-1, -2):  # scan lines are rows, or columns
        rough = across if along == -1 else down
        at = (doubted & ~state.lines & (rough > ROUGH)).nonzero()[:, 0]
        if len(at):
            state = state.tried(at, levelled_lines(flat[at], along), find, shadowed, lines=True)
            flat = torch.where(state.lines[:, None, None, None], state.images, flat)
    # one edge of light repeats well on a long multiple of the cell
    at = ((doubted & (uneven > UNEVEN)) | (uneven > PLAINLY)).nonzero()[:, 0]
    for sigma in SCALES:
        if len(at):
            high = flat[at] - local_mean(flat[at], sigma)
            if sigma == SCALES[0]:
                more = above_rounding(high, images[at])
                at, high = at[more], high[more]
        if len(at):
            state = state.tried(at, even_contrast(high, sigma), find, shadowed, local=sigma)
            at = at[(state.lattice.level[at] < CLEAR) | (shadowed[at] & (state.local[at] == 0))]
    return state.images, state.lattice, Flattened(clip, plane, state.lines, state.local)


@dataclass(frozen=True)
class _State:
    """The best that was found so far."""

    images: Tensor
    lattice: Lattice
    lines: Tensor
    local: Tensor

    def tried(
        self,
        at: Tensor,
        other: Tensor,
        find: Callable[[Tensor], Lattice],
        uneven: Tensor,
        lines: bool = False,
        local: float = 0.0,
    ) -> _State:
        """The same with `other` in place of the images `at`, where its lattice is better.

        Of `uneven` (B,) images also where the lattice so far is one of the light: none of what is left without it.
        """
        lattice, area = find(other), other.shape[-1] * other.shape[-2]
        here = Lattice(*(getattr(self.lattice, field.name)[at] for field in fields(Lattice)))
        better = merit(lattice, area) > merit(here, area) + BETTER
        if local:
            better |= (
                uneven[at]
                & (lattice.level > CLEAR)
                & (levels_on(without_slope(other), here.basis) < lattice.level - UNFIT)
            )
        at, new = at[better], (getattr(lattice, field.name)[better] for field in fields(Lattice))
        old = (getattr(self.lattice, field.name) for field in fields(Lattice))
        return _State(
            self.images.index_copy(0, at, other[better]),
            Lattice(*(a.index_copy(0, at, b) for a, b in zip(old, new, strict=True))),
            self.lines.index_fill(0, at, True) if lines else self.lines,
            self.local.index_fill(0, at, local) if local else self.local,
        )


def merit(lattice: Lattice, area: int) -> Tensor:
    """How convincing lattices (B,) are in images of `area` px: their level, and more the more cells are in view."""
    found: Tensor = lattice.level + FINER * (area / torch.linalg.det(lattice.basis).abs()).log2()
    return found


def unevenness(flat: Tensor) -> Tensor:
    """Share of the variance of images (B, C, H, W), means left out, that changes slowly across the view: (B,)."""
    blocks = F.adaptive_avg_pool2d(flat, BLOCKS)
    slow = local_mean(blocks, COARSE).square().mean((1, 2, 3))
    return slow / flat.square().mean((1, 2, 3)).clamp_min(1e-20)


def roughness(flat: Tensor, along: int = -1) -> Tensor:
    """Mean square difference of neighbouring rows' means, or columns' (`along` -2), over twice the variance: (B,)."""
    steps = flat.mean(along).diff(dim=-1).square().mean((1, 2))
    return 0.5 * steps / flat.square().mean((1, 2, 3)).clamp_min(1e-20)


def levelled_lines(flat: Tensor, along: int = -1) -> Tensor:
    """Images (B, C, H, W) less each row's median, or each column's (`along` -2)."""
    return flat - flat.median(along, keepdim=True).values


def even_contrast(high: Tensor, sigma: float) -> Tensor:
    """Images (B, C, H, W) less their local means, over their local deviation, channels together.

    It is that under a Gaussian of `sigma` px. Less than `GAIN` times the mean deviation is not divided by.
    """
    deviation = local_mean(high.square().sum(1, keepdim=True), sigma).clamp_min(0).sqrt()
    return high / torch.maximum(deviation, GAIN * deviation.mean((1, 2, 3), keepdim=True)).clamp_min(1e-20)


def local_mean(images: Tensor, sigma: float) -> Tensor:
    """Mean under a Gaussian of `sigma` px, of the pixels that there are: two products of matrices."""
    down, across = (_gaussian(n, sigma, images.dtype, images.device) for n in images.shape[-2:])
    mean: Tensor = down @ images @ across.T
    return mean


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _gaussian(n: int, sigma: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Weights (n, n) of n pixels for the mean at each of them; rows sum to 1."""
    x = torch.arange(n, device=device, dtype=dtype)
    weight = torch.exp(-0.5 * ((x[:, None] - x) / sigma).square())
    # processors multiply numbers next to the least there is twenty times more slowly
    weight = torch.where(weight < NOTHING, 0.0, weight)
    return weight / weight.sum(1, keepdim=True)
