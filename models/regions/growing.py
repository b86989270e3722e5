"""A lattice followed over a view from a window: its region is where the image agrees with the average of its cells."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..straightening.families import POLYNOMIAL, STRAIGHT, Family
from ..straightening.fit import Sighting, fitted
from ..straightening.matching import Matcher
from ..straightening.plane import Lattice, Measured, connected
from ..straightening.tracking import State, displaced
from .seeds import Seed
from .shapes import around, expanded, smoothed

STEP = 4  # px between the points at which agreement is taken
WIDTH = 0.45  # of a cell's side: standard deviation of the window in which it is
DAMPING, FAINT = 0.03, 0.003  # of the variance of average and view, added to all: what is flat agrees with nothing
OUTLYING = 0.005  # share of a region's darkest and brightest pixels: what is beyond them counts as they do
SHARE, LEAST = 0.8, 0.3  # of a region's usual agreement that its core has, and the least that counts
EDGE = 0.4  # of a cell's side, by which a region reaches beyond the middles of the windows that agree
REACH, NEAR = 2.0, 0.15  # cells, and half sides of the view, by which a region grows in a round
ROUNDS = 8
STABLE = 0.98  # share of two rounds' masks that is common when a region has stopped to grow
FIT, FEWEST = 0.4, 8  # agreement from which a window counts in the fit, and how many it takes
FOLLOWED = 0.4  # least usual agreement of a straight lattice that is followed around bends
GREW = 1.1  # a bent lattice has to explain so much more


@dataclass(frozen=True)
class Grown:
    """A lattice and its field, the `agreement` (H, W) of the image with its cells, and the `mask` (H, W) of its region.

    `usual` is the median agreement in the region.
    """

    family: Family
    c: Tensor
    lattice: Lattice
    agreement: Tensor
    mask: Tensor
    usual: float


def grown(matcher: Matcher, seed: Seed, free: Tensor) -> Grown | None:
    """The region of a seed's lattice within `free` (H, W); None where it agrees with nothing."""
    left, top, width, height = seed.box
    mask = torch.zeros_like(free)
    mask[top : top + height, left : left + width] = True
    start = Grown(STRAIGHT, seed.lattice.basis.new_zeros(0), seed.lattice, mask.float(), mask & free, 0.0)
    found = _rounds(matcher, start, STRAIGHT, free)
    if found is None or found.usual < FOLLOWED or int(found.mask.sum()) > 0.97 * int(free.sum()):
        return found
    bent = _rounds(matcher, found, POLYNOMIAL, free)
    if bent is not None and int(bent.mask.sum()) > GREW * int(found.mask.sum()) and bent.usual > 0.9 * found.usual:
        return bent
    return found


def _rounds(matcher: Matcher, found: Grown, family: Family, free: Tensor) -> Grown | None:
    start = found.c if family is found.family else found.lattice.basis.new_zeros(family.size)
    state, lattice, mask = start, found.lattice, found.mask
    side = lattice.side * matcher.unit
    made = None
    for _ in range(ROUNDS):
        matcher.weight = mask.float()
        fresh = _fitted(matcher, family, state, lattice, mask)
        if fresh is not None:
            state, lattice = fresh
        agreement = agreements(matcher, family.apply(matcher.points, state), lattice)
        inside = agreement[mask]
        if not len(inside):
            return None
        usual = float(inside.median())
        if usual < LEAST:
            return None
        within = around(mask, max(REACH * side, NEAR * matcher.unit)) & free
        core = (agreement > max(LEAST, SHARE * usual)) & within
        grew = connected(smoothed(expanded(core, EDGE * side) & free, side), mask)
        common, either = int((grew & mask).sum()), int((grew | mask).sum())
        mask = grew
        if not mask.any():
            return None
        made = Grown(family, state, lattice, agreement, mask, usual)
        if common > STABLE * either:
            break
    return made


def _fitted(
    matcher: Matcher, family: Family, c: Tensor, lattice: Lattice, mask: Tensor
) -> tuple[Tensor, Lattice] | None:
    """Parameters and lattice after one round of measuring in a region; None where too little is seen there."""
    side = lattice.side * matcher.unit
    windows, sigma = matcher.windows(side), max(1.0, 0.03 * side)
    fractions, information, agreement = displaced(matcher, State(family, c, lattice), sigma, windows)
    height, width = mask.shape
    x, y = (windows.at * matcher.unit + windows.at.new_tensor([(width - 1) / 2, (height - 1) / 2])).round().long().T
    used = mask[y.clamp(0, height - 1), x.clamp(0, width - 1)] & (agreement > FIT)
    if int(used.sum()) < max(FEWEST, family.size):
        return None
    measured = Measured(windows.at, fractions, information, agreement, used, windows.fold)
    c, fresh = fitted(Sighting.of(measured), family, c)
    sound = c.isfinite().all() and 0.7 < float(torch.linalg.det(fresh.basis) / torch.linalg.det(lattice.basis)) < 1.4
    return (c, fresh) if sound else None


def agreements(matcher: Matcher, straight: Tensor, lattice: Lattice, sigma: float = 1.0) -> Tensor:
    """Correlation of the image with the average of its *other* cells about every pixel: (H, W), -1 to 1.

    The average is taken over the matcher's weight, and 0 is given where it has nothing to compare.
    """
    cell, _, cells = matcher.average(straight, lattice, sigma)
    image = matcher.blurred(sigma)
    faint = FAINT * float(image.var((1, 2)).sum())
    if matcher.weight is not None:
        inside = image[:, matcher.weight > 0]
        image = image.clamp(*(inside.quantile(q, 1)[:, None, None] for q in (OUTLYING, 1 - OUTLYING)))
    own = cells if matcher.weight is None else cells * matcher.weight
    others = torch.where(own > 1.5, (own * cell - image) / (own - 1).clamp_min(0.5), cell)
    seen = (cells > 1.5).float()
    sums, count = _local(torch.cat([image, others, (image * image).sum(0, keepdim=True),
                                    (others * others).sum(0, keepdim=True), (image * others).sum(0, keepdim=True),
                                    seen[None]]), WIDTH * lattice.side * matcher.unit)  # fmt: skip
    C = len(image)
    a, b = sums[:C] / count, sums[C : 2 * C] / count
    one, other, both = (sums[2 * C + k] / count - (s * t).sum(0) for k, (s, t) in enumerate(((a, a), (b, b), (a, b))))
    least = faint + DAMPING * float(other.clamp_min(0).median())
    found = both / ((one + least) * (other + least)).clamp_min(1e-12).sqrt()
    found = torch.where(sums[-1] / count > 0.5, found.clamp(-1, 1), 0.0)
    shape = image.shape[-2:]
    whole: Tensor = F.interpolate(found[None, None], shape, mode="bilinear", align_corners=False)[0, 0]
    return whole


def _local(maps: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Gaussian sums of maps (C, H, W) at points `STEP` px apart, and the weights' sums."""
    weights = []
    for n in maps.shape[-2:]:
        count = max(1, round(n / STEP))
        centre = (torch.arange(count, device=maps.device) + 0.5) * n / count - 0.5
        weights.append(torch.exp(-0.5 * ((torch.arange(n, device=maps.device) - centre[:, None]) / sigma).square()))
    y, x = weights
    return y @ maps @ x.T, y.sum(1)[:, None] * x.sum(1)
