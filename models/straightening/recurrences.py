"""Where small patches of an image recur: a lattice that can be followed however it bends.

A patch is compared with the image at every place (normalised cross-correlation). Peaks are where the lattice has it
again. Which lattice vectors lead there follows from the nearest ones outwards, while a field is fitted to all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..evidence.autocorrelation import highest
from ..evidence.fourier import fast_length
from .families import PERSPECTIVE, POLYNOMIAL, SMOOTH, STRAIGHT, Family, Smooth
from .fit import Sighting, fitted
from .matching import Matcher
from .plane import Lattice
from .tracking import State

SCALES = ((2.0, 12.0, 2), (1.0, 8.0, 1), (2.5, 20.0, 2))  # px: blur, standard deviation of a patch, px that become one
PATCHES, PEAKS, APART = 7, 60, 3  # patches along an axis; peaks of each, and px between them
REACH = 2.5  # standard deviations at which a patch ends
INSIDE = 0.85  # share of a patch that has to lie within the image
FAINT = 0.05  # of the variance of the strongest patches: those with less are empty
SPREAD, LOWEST, HIGHEST = 5.0, 0.25, 0.7  # correlation that counts: in deviations of all, and its bounds
CENTRAL, LONGEST = 0.37, 0.7  # of the sides: patches whose neighbours are sought, and the farthest such neighbour
SLACK, ROUNDING = 0.2, 1.5  # by which a lattice vector changes over the image: of its length, and px
FOREIGN = 0.1  # change of the cell's area from which two lattices differ
SUPPORTED = 0.2  # least support of a vector
WORSE = (0.06, 0.15, 0.3, 0.0)  # support that the smallest cell may have less than the best supported one
CROWDED = 0.45  # of the distance between matches: so far from where it is expected one is looked for at most
FLAT = 0.35  # sine of the angle between lattice vectors, at least
OFF = 0.25  # of the shorter basis vector: a match that lies farther from its lattice point is none
GROWN = 2.0  # factor by which following a cell may change its area
LEAST = 8  # matches that make a lattice
MOST = 600  # vectors that are looked at
STIFF = Smooth(1e-4)
ROUNDS: tuple[tuple[float, float, Family], ...] = (  # out to where, over how many cells, which field
    (0.6, 1.6, STRAIGHT), (0.8, 2.2, PERSPECTIVE), (1.0, 3.2, POLYNOMIAL), (1.3, 5.0, POLYNOMIAL),
    (torch.inf, 9.0, POLYNOMIAL), (torch.inf, torch.inf, POLYNOMIAL), (torch.inf, torch.inf, STIFF),
)  # fmt: skip


@dataclass(frozen=True)
class Recurrences:
    """Matches of K patches `at` (K, 2) px: n `places` (K, n, 2) px each and their `values` (K, n), 0 where none is."""

    at: Tensor
    places: Tensor
    values: Tensor

    @property
    def away(self) -> Tensor:
        """From each patch to its matches: (K, n, 2) px."""
        return self.places - self.at[:, None]


def recurrences(image: Tensor, sigma: float) -> Recurrences:
    """Where patches of an image (C, H, W) of zero mean, Gaussians of `sigma` px, recur."""
    _, H, W = image.shape
    sides = [torch.linspace(1.2 * sigma, n - 1 - 1.2 * sigma, PATCHES).round().long() for n in (W, H)]
    at = torch.cartesian_prod(*sides).to(image.device)
    maps, contrast = _correlations(image, at, sigma)
    spread = maps.abs().flatten(1).median(1).values / 0.6745
    least = (SPREAD * spread).clamp(LOWEST, HIGHEST)[:, None]
    peaks = torch.where(maps == highest(maps, APART), maps, 0.0)
    values, index = peaks.flatten(1).topk(min(PEAKS, H * W), 1)
    places = torch.stack([index % W, index // W], -1)
    itself = (places - at[:, None]).abs().amax(-1) < APART
    told = (contrast > FAINT * contrast.quantile(0.9))[:, None]
    kept = torch.where((values > least) & ~itself & told, values.clamp(0, 1), 0.0)
    return Recurrences(at.float(), places.float(), kept)


def _correlations(image: Tensor, at: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Correlation of the patch about each of `at` (K, 2) with the image about every px: (K, H, W), 0 at its edges.

    And the patches' variances (K,).
    """
    channels, H, W = image.shape
    reach = math.ceil(REACH * sigma)
    n, shape = 2 * reach + 1, [fast_length(side + 2 * reach) for side in (H, W)]
    wave = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=image.device) / sigma).square())
    window = wave[:, None] * wave / wave.sum().square()
    mode = "reflect" if reach < min(H, W) else "replicate"
    seen = F.pad(image[None], (reach,) * 4, mode=mode)[0].unfold(1, n, 1).unfold(2, n, 1)
    patches = seen[:, at[:, 1], at[:, 0]].movedim(1, 0)
    patches = patches - (patches * window).sum((-2, -1), keepdim=True)
    energy = (patches.square() * window).sum((-3, -2, -1))
    plain = torch.cat([image, image.square().sum(0, keepdim=True), torch.ones_like(image[:1])])
    waves = torch.fft.rfft2(F.pad(plain, (reach,) * 4), s=shape)
    sums = torch.fft.irfft2(waves * torch.fft.rfft2(window, s=shape).conj(), s=shape)[:, :H, :W]
    inside = sums[-1].clamp_min(1e-3)
    scatter = sums[-2] - sums[:channels].square().sum(0) / inside
    scatter = scatter.clamp_min(0.1 * float(scatter.median().clamp_min(1e-9)))
    templates = torch.fft.rfft2(patches * window, s=shape).conj()
    cross = torch.fft.irfft2((waves[:channels] * templates).sum(1), s=shape)[:, :H, :W]
    found = cross / (energy.clamp_min(1e-12)[:, None, None] * scatter).sqrt()
    return torch.where(inside > INSIDE, found, 0.0), energy


def bases(seen: Recurrences, height: int, width: int) -> list[Tensor]:
    """Lattices (2, 2) px about the image's middle, by which matches of many patches are explained, the best first."""
    vectors, support = _vectors(seen, height, width)
    if len(vectors) < 2:
        return []
    i, j = torch.triu_indices(len(vectors), len(vectors), 1, device=vectors.device)
    pairs = torch.stack([vectors[i], vectors[j]], -1)
    areas = torch.linalg.det(pairs).abs()
    open_ = areas > FLAT * pairs.norm(dim=1).prod(-1)
    worth = torch.where(open_, torch.minimum(support[i], support[j]), -torch.inf)
    made: list[Tensor] = []
    for worse in WORSE:
        smallest = int(torch.where(open_ & (worth >= worth.max() - worse), areas, torch.inf).argmin())
        if bool(open_[smallest]) and all(abs(float(areas[smallest] / b.det().abs()) - 1) > FOREIGN for b in made):
            made.append(pairs[smallest])
    return made


def _vectors(seen: Recurrences, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Lattice vectors (M, 2) px near the image's middle, and how well they are supported (M,), the best first."""
    size = seen.at.new_tensor([width, height])
    central = ((seen.at - (size - 1) / 2).abs() < CENTRAL * size).all(-1) & (seen.values > 0).any(-1)
    at, away, values = seen.at[central], seen.away[central], seen.values[central]
    near = (values > 0) & (away.norm(dim=-1) < LONGEST * min(height, width))
    each = away[near]
    each = torch.where((each[:, 1:] < 0) | ((each[:, 1:] == 0) & (each[:, :1] < 0)), -each, each)
    each = each[torch.randperm(len(each), generator=torch.Generator().manual_seed(0))[:MOST].to(each.device)]
    support, count = each.new_zeros(len(each)), each.new_zeros(len(each))
    largest = max(CROWDED * _spacing(away, values), ROUNDING)
    for sign in (1, -1):
        there = sign * each
        off = (there[None, :, None] - away[:, None]).norm(dim=-1)  # (patches, vectors, matches)
        close = off < (SLACK * each.norm(dim=-1)[:, None] + ROUNDING).clamp_max(largest)
        best = (close * values[:, None]).amax(-1)
        landing = at[:, None] + there
        inside = ((landing > 0.05 * size) & (landing < 0.95 * size)).all(-1)
        support, count = support + (best * inside).sum(0), count + inside.sum(0)
    support = support / count.clamp_min(1) * (count >= 0.4 * len(at))
    order = support.argsort(descending=True)
    each, support = each[order], support[order]
    kept: list[Tensor] = []
    worth: list[Tensor] = []
    left = support > SUPPORTED
    while bool(left.any()) and len(kept) < 24:
        first = int(left.nonzero()[0, 0])
        same = (each - each[first]).norm(dim=-1) < SLACK * each[first].norm() + ROUNDING
        share = support * same * (support > support[first] - 0.05)
        kept.append(share @ each / share.sum())
        worth.append(support[first])
        left &= ~same
    return (torch.stack(kept), torch.stack(worth)) if kept else (each[:0], support[:0])


def _spacing(away: Tensor, values: Tensor) -> float:
    """Median distance from a match (K, n, 2) with a value (K, n) to the next one of its patch, px."""
    apart = torch.cdist(away, away) + torch.where(values > 0, 0.0, torch.inf)[:, None]
    apart.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    nearest = apart.amin(-1).minimum(away.norm(dim=-1))[values > 0]
    return float(nearest.median()) if len(nearest) else 0.0


def followed(seen: Recurrences, basis: Tensor, height: int, width: int) -> State | None:
    """The lattice with `basis` (2, 2) px about the image's middle, followed outwards; None if it leads nowhere."""
    unit = math.sqrt(height * width) / 2
    middle = seen.at.new_tensor([(width - 1) / 2, (height - 1) / 2])
    since = ((seen.at - middle) / unit)[:, None].expand_as(seen.places).reshape(-1, 2)
    to, value = ((seen.places - middle) / unit).reshape(-1, 2), seen.values.flatten()
    since, to, value = since[value > 0], to[value > 0], value[value > 0]
    out, far = since.norm(dim=-1).maximum(to.norm(dim=-1) - 0.2), (to - since).norm(dim=-1)
    state, area = None, float(basis.det().abs()) / unit**2
    family: Family = STRAIGHT
    c, lattice = since.new_zeros(0), Lattice(basis / unit, since.new_zeros(2))
    for reach, cells, wanted in ROUNDS:
        longest = float(lattice.basis.norm(dim=0).max())
        moved = family.apply(to, c) - family.apply(since, c)
        steps = moved @ torch.linalg.inv(lattice.basis).T
        whole = steps.round()
        off = ((steps - whole) @ lattice.basis.T).norm(dim=-1)
        used = (off < OFF * lattice.basis.norm(dim=0).min()) & whole.any(-1)
        used &= (out < max(reach, 1.2 * lattice.side)) & (far < max(cells * lattice.side, 1.3 * longest))
        if int(used.sum()) < LEAST:
            continue
        information = value[used][:, None, None] * torch.eye(2).to(value)
        start = c if wanted is family else c.new_zeros(wanted.size)
        family, (c, lattice) = wanted, fitted(Sighting(to[used], since[used], whole[used], information), wanted, start)
        state = State(SMOOTH if family is STIFF else family, c, lattice)
        if not state.sound or not 1 / GROWN < lattice.side**2 / area < GROWN:
            return None
    return state


def recurring(matcher: Matcher) -> Iterator[list[State]]:
    """Fields and lattices that the recurrences of patches show, scale by scale; straight where none can be followed."""
    height, width = matcher.image.shape[-2:]
    for blur, sigma, step in SCALES:
        if 2.5 * sigma > min(height, width) / 2:
            continue
        small = recurrences(F.avg_pool2d(matcher.blurred(blur), step), sigma / step)
        at, places = (step * (p + 0.5) - 0.5 for p in (small.at, small.places))
        seen = Recurrences(at, places, small.values)
        yield [followed(seen, b, height, width) or _still(matcher, b) for b in bases(seen, height, width)]


def _still(matcher: Matcher, basis: Tensor) -> State:
    """A `basis` (2, 2) px that led nowhere, as a straight lattice."""
    return State(STRAIGHT, basis.new_zeros(0), Lattice(basis / matcher.unit, basis.new_zeros(2)))
