"""The lattice of an image: peaks of its overlap-normalised autocorrelation, and the basis that explains them.

Everything is batched over images of one size and runs alike on CPU and GPU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ...arrays import gaussian_blur
from .autocorrelation import REACH, autocorrelation, bragg_filtered, highest, quadratic, sample
from .background import without_slope
from .superlattice import refinements, superlattice

BLUR = 1.0  # px: peaks of finer texture than this cannot be placed between pixels
PEAKS = 48
ERRORS = 2.5  # standard errors by which a finer lattice may repeat less well, see find_lattice
HEXAGONAL_SLACK = 0.14  # what such a lattice within a rectangular one may lose besides, see `Refinements.slack`
FEWEST, FEW_SLACK = 3.8, 0.07  # a lattice with fewer cells in view has to be better by this much: patterns show four
ROUNDED = 0.75  # px by which copies in any other whole-pixel cell may be
OUT_OF_PLACE = 1.5  # px by which copies in a whole-pixel hexagonal cell may be out of place
HEXAGONAL = 0.03  # relative change of the metric under which a lattice counts as hexagonal
SIXFOLD = 0.75  # share of the autocorrelation that a sixfold rotation has to keep for the slack of the next line
SHORTEST, LEAST = 3.0, 30.0  # px and px^2: shorter vectors and smaller cells are not looked for
BROKEN = 0.02  # misfit from which translations that a superlattice breaks, surely, count as broken
HALF = 8  # lattice points up to HALF * a + HALF * b support a basis


@dataclass(frozen=True)
class Lattice:
    """Reduced bases of a batch: `basis` (B, 2, 2), columns a and b in px (x right, y down).

    |a| <= |b| and the angle between them lies in [90, 120] degrees. `level` (B,) is the mean correlation
    of the image with itself shifted by lattice vectors: 1 for a perfect repeat, about 0 for none.
    `coset` (B,) is the highest such level of a finer lattice that was rejected, `finer` (B, 2, 2) that lattice.
    `coarser` (B, 2, 2) is the superlattice on which the image repeats clearly better, if any, and `coarser_level` (B,)
    how well; else they are as `basis` and `level`.
    """

    basis: Tensor
    level: Tensor
    coset: Tensor
    finer: Tensor
    coarser: Tensor
    coarser_level: Tensor

    @classmethod
    def alone(cls, basis: Tensor, level: Tensor, coset: Tensor) -> Lattice:
        """Without a finer or a coarser one."""
        return cls(basis, level, coset, basis, basis, level)


def reduce_basis(basis: Tensor) -> Tensor:
    """Lagrange-reduced bases (B, 2, 2) with |a| <= |b| and an obtuse (or right) angle."""
    a, b = basis.unbind(-1)
    for _ in range(12):
        swap = (a.square().sum(-1) > b.square().sum(-1))[:, None]
        a, b = torch.where(swap, b, a), torch.where(swap, a, b)
        n = ((a * b).sum(-1) / a.square().sum(-1).clamp_min(1e-9)).round()
        b = b - n[:, None] * a
    swap = (a.square().sum(-1) > b.square().sum(-1))[:, None]
    a, b = torch.where(swap, b, a), torch.where(swap, a, b)
    b = torch.where(((a * b).sum(-1) > 0)[:, None], -b, b)
    return torch.stack([a, b], -1)


def _combinations(half: int, device: torch.device) -> Tensor:
    """Integer pairs (n, m), one of each +-pair, zero left out: (K, 2)."""
    n = torch.arange(-half, half + 1, device=device)
    pairs = torch.stack(torch.meshgrid(n, n, indexing="ij"), -1).reshape(-1, 2)
    keep = (pairs[:, 1] > 0) | ((pairs[:, 1] == 0) & (pairs[:, 0] > 0))
    return pairs[keep].float()


def _weights(points: Tensor, shape: tuple[int, int]) -> Tensor:
    """Share of the image that overlaps itself after a shift, 0 beyond the reach: (...,)."""
    H, W = shape
    x, y = points[..., 0].abs(), points[..., 1].abs()
    inside = (x < REACH * W - 2) & (y < REACH * H - 2)
    return ((1 - x / W) * (1 - y / H)).clamp_min(0) * inside


def refine(surface: Tensor, basis: Tensor, shape: tuple[int, int]) -> Tensor:
    """Newton's method on the mean autocorrelation over lattice points, near ones first: (B, 2, 2)."""
    start = basis
    for half in (1, 1, 2, 4, HALF, HALF):
        nm = _combinations(half, basis.device)
        points = torch.einsum("bij,kj->bki", basis, nm)
        slope, bend = quadratic(surface, points)
        weight = _weights(points, shape)
        A = torch.einsum("bk,ki,kj,bkxy->bxiyj", weight, nm, nm, bend).flatten(3).flatten(1, 2)
        rhs = torch.einsum("bk,ki,bkx->bxi", weight, nm, slope).flatten(1)
        damping = 1e-3 * A.diagonal(dim1=1, dim2=2).mean(1).clamp_min(1e-6)
        step = torch.linalg.solve(A + damping[:, None, None] * torch.eye(4, device=A.device), rhs)
        step = step.unflatten(1, (2, 2))
        longest = torch.einsum("bij,kj->bki", step, nm).norm(dim=-1) * (weight > 0)
        basis = basis + step / longest.amax(1).clamp_min(1.0)[:, None, None]
    change = torch.linalg.det(basis) / torch.linalg.det(start)
    # along stripes, and in noise, a vector is free to move and may drift
    kept = (change > 0.7) & (change < 1.4) & (basis.norm(dim=1).amin(-1) > SHORTEST)
    return torch.where(kept[:, None, None], basis, start)


def coset_levels(surface: Tensor, basis: Tensor, cosets: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Mean autocorrelation over the lattice shifted by fractions of it, and the standard error of that mean.

    Bases (B, 2, 2), cosets (T, 2) to (B, T) each. The mean runs over lattice points within the reach, weighted by
    overlap; zero shift left out.
    """
    n = torch.arange(-HALF, HALF + 1, device=basis.device).float()
    nm = torch.stack(torch.meshgrid(n, n[HALF:], indexing="ij"), -1).reshape(-1, 2)
    fractions = nm[None] + cosets[:, None]
    points = torch.einsum("bij,tkj->btki", basis, fractions)
    weight = _weights(points, shape) * (fractions.abs().sum(-1) > 1e-6)
    total = weight.sum(-1).clamp_min(1e-9)
    values = sample(surface, points)
    mean = (values * weight).sum(-1) / total
    variance = ((values - mean[..., None]).square() * weight).sum(-1) / total
    effective = total.square() / weight.square().sum(-1).clamp_min(1e-9)
    return mean, (variance / (effective - 1).clamp_min(1)).sqrt()


def candidates(surface: Tensor, shape: tuple[int, int]) -> Tensor:
    """The most convincing basis among pairs of autocorrelation peaks: (B, 2, 2), columns a and b."""
    B, rows, columns = surface.shape
    X = columns // 2
    H, W = shape
    pooled = highest(surface, 2)
    y = torch.arange(rows, device=surface.device)[:, None].expand(rows, columns)
    x = (torch.arange(columns, device=surface.device) - X)[None].expand(rows, columns)
    allowed = (x**2 + y**2 > 9) & ((y > 0) | (x > 0)) & (y < rows - 3) & (x.abs() < X - 3)
    length = (x**2 + y**2).float().sqrt() / max(shape)
    merit = torch.where((surface == pooled) & allowed, surface - 0.15 * length, -torch.inf)
    best, at = merit.flatten(1).topk(PEAKS, dim=1)
    peaks = torch.stack([x.flatten()[at], y.flatten()[at]], -1).float()
    slope, bend = quadratic(surface, peaks)
    step = torch.linalg.solve(bend + 1e-3 * torch.eye(2, device=bend.device), slope[..., None])[..., 0]
    peaks = peaks + step.clamp(-1, 1)

    i, j = torch.triu_indices(PEAKS, PEAKS, 1, device=surface.device)
    a, b = peaks[:, i], peaks[:, j]
    valid = best[:, i].isfinite() & best[:, j].isfinite()
    dot, aa, bb = (a * b).sum(-1), a.square().sum(-1), b.square().sum(-1)
    area = (a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]).abs()
    valid &= (dot.abs() <= 0.56 * torch.minimum(aa, bb)) & (area >= LEAST) & (area <= 0.5 * H * W)
    nm = _combinations(2, surface.device)
    points = a[:, :, None] * nm[:, :1] + b[:, :, None] * nm[:, 1:]
    weight = _weights(points, shape)
    near = highest(surface, 1)
    flip = torch.where(points[..., 1:] < 0, -1.0, 1.0)
    cell = (points * flip).round().long()
    index = cell[..., 1].clamp(0, rows - 1) * columns + (cell[..., 0] + X).clamp(0, columns - 1)
    values = near.flatten(1).gather(1, index.flatten(1)).reshape(index.shape)
    score = (values * weight).sum(-1) / weight.sum(-1).clamp_min(1e-9)
    support = (weight > 0).sum(-1)
    score = score - 0.01 * (area / (H * W)).clamp_min(1e-6).log() - FEW_SLACK * (area > H * W / FEWEST)
    score = torch.where(valid & (support >= 2), score, -torch.inf)
    pick = score.argmax(1)
    take = torch.arange(B, device=surface.device)
    basis = torch.stack([a[take, pick], b[take, pick]], -1)
    fallback = torch.diag(basis.new_tensor([W / 2, H / 2])).expand(B, 2, 2)
    return torch.where(score.amax(1).isfinite()[:, None, None], basis, fallback)


def _misfit(basis: Tensor) -> Tensor:
    """How far lattices (..., 2, 2) are from hexagonal: change of the metric under a sixfold rotation, relative."""
    reduced = reduce_basis(basis.flatten(0, -3)).reshape(basis.shape)
    metric = reduced.mT @ reduced
    W = basis.new_tensor([[1.0, -1.0], [1.0, 0.0]])
    change = (W.T @ metric @ W - metric).abs().amax((-2, -1))
    misfit: Tensor = change / torch.linalg.det(basis).abs().clamp_min(1e-6)
    return misfit


def _sixfold(surface: Tensor, basis: Tensor) -> Tensor:
    """How much of the autocorrelation about zero a sixfold rotation keeps, in [0, 1]: (B,).

    The share of its variance over a disc, 1.3 times as wide in radius as the cell's area has for a side, that remains
    in the mean of the three turns by 60 degrees. Every group with threefold axes has 1: the autocorrelation of a
    pattern adds a twofold axis.
    """
    radius = torch.linalg.det(basis).abs().sqrt()
    points = torch.einsum("b,kij,pj->bkpi", radius, *(t.to(basis) for t in _turned_disc()))
    turned = sample(surface, points)
    kept: Tensor = turned.mean(1).var(-1, unbiased=False)
    return kept / turned.flatten(1).var(-1, unbiased=False).clamp_min(1e-12)


@lru_cache(maxsize=1)
def _turned_disc() -> tuple[Tensor, Tensor]:
    """Rotations by 0, 60 and 120 degrees (3, 2, 2) and points of a disc of radius 1.3 (P, 2)."""
    angle = torch.arange(3) * (torch.pi / 3)
    turns = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], -1).reshape(3, 2, 2)
    line = torch.linspace(-1.3, 1.3, 27)
    points = torch.cartesian_prod(line, line)
    return turns, points[points.norm(dim=1) <= 1.3]


def _lost(surface: Tensor, distance: float) -> Tensor:
    """What an image loses of its autocorrelation when it is moved by `distance` px, on average: (B,)."""
    lost: Tensor = 1 - sample(surface, surface.new_tensor(_RING).expand(len(surface), -1, -1) * distance).mean(1)
    return lost


_RING = tuple((math.cos(t), math.sin(t)) for t in (k * math.pi / 6 for k in range(6)))


def _lowest(levels: Tensor, owner: Tensor, count: int) -> Tensor:
    """The lowest of the levels (B, T) of each refinement: (B, count)."""
    lowest = levels.new_full((len(levels), count), torch.inf)
    return lowest.scatter_reduce(1, owner.expand(len(levels), -1), levels, "amin")


def _surface(images: Tensor) -> Tensor:
    return autocorrelation(gaussian_blur(bragg_filtered(without_slope(images)), BLUR))


def levels_on(images: Tensor, basis: Tensor) -> Tensor:
    """How well images (B, C, H, W) repeat on given lattices (B, 2, 2) px, as `Lattice.level`: (B,)."""
    nothing = basis.new_zeros(1, 2)
    return coset_levels(_surface(images), basis, nothing, (images.shape[-2], images.shape[-1]))[0][:, 0]


def find_lattice(images: Tensor) -> Lattice:
    """Primitive lattices of images (B, C, H, W), any range.

    From the best pair of autocorrelation peaks the lattice is made finer, by a prime index at a time, as long
    as the added points correlate as well as the lattice itself, up to `ERRORS` standard errors of the difference and
    some slack: in a disordered crystal correlations scatter, the more so the fewer cells are in view. A hexagonal
    lattice within a rectangular one gets more slack: images made of whole-pixel rectangular cells repeat their
    hexagonal ones only roughly, the more so the finer their texture. If the autocorrelation has a sixfold axis, it is
    what the image loses when it is moved by `OUT_OF_PLACE` px. A lattice of which fewer than `FEWEST` cells are in view
    is given up more easily: few copies of a disordered cell agree by chance.

    A superlattice on which the image repeats better beyond doubt is the lattice where the finer one misfits by more
    than `BROKEN`.
    """
    shape = (images.shape[-2], images.shape[-1])
    surface = _surface(images)
    basis = reduce_basis(refine(surface, candidates(surface, shape), shape))
    table = refinements()
    cosets, finer = basis.new_tensor([(0.0, 0.0), *table.fractions]), basis.new_tensor(table.bases)
    owner, slack = torch.tensor(table.owner, device=basis.device), basis.new_tensor(table.slack)
    lost = _lost(surface, OUT_OF_PLACE)
    refused, unused = basis.new_full((len(basis),), -1.0), basis
    for _ in range(4):
        levels, error = coset_levels(surface, basis, cosets, shape)
        here = levels[:, 0]
        raised = levels[:, 1:] + ERRORS * (error[:, 1:].square() + error[:, :1].square()).sqrt()
        lowest, bound = (_lowest(x, owner, len(slack)) for x in (levels[:, 1:], raised))
        hexagonal = _misfit(basis[:, None] @ finer) < HEXAGONAL
        rounded = torch.where(_sixfold(surface, basis) > SIXFOLD, lost, 0.0).clamp_min(HEXAGONAL_SLACK)
        allowed = torch.where(hexagonal & (_misfit(basis) >= HEXAGONAL)[:, None], rounded[:, None], slack)
        few = torch.linalg.det(basis).abs() > shape[0] * shape[1] / FEWEST
        allowed = allowed + FEW_SLACK * few[:, None]
        best, pick = (bound + allowed).max(1)
        accept = best >= here
        smaller = reduce_basis(basis @ finer[pick])
        accept &= (torch.linalg.det(smaller).abs() > LEAST) & (smaller.norm(dim=1).amin(-1) > SHORTEST)
        highest_level, second = lowest.max(1)
        refused = torch.where(accept, refused, highest_level)
        unused = torch.where(accept[:, None, None], unused, basis @ finer[second])
        if not accept.any():
            break
        new = reduce_basis(refine(surface, smaller, shape))
        basis = torch.where(accept[:, None, None], new, basis)
        unused = torch.where(accept[:, None, None], basis, unused)
    level = coset_levels(surface, basis, cosets[:1], shape)[0][:, 0]
    nm = _combinations(HALF, basis.device)
    points = torch.einsum("bij,kj->bki", basis, nm)
    larger, inside, outside = superlattice(sample(surface, points), _weights(points, shape), nm)
    coarser, finer = reduce_basis(basis @ larger), reduce_basis(unused)
    # cells of whole pixels repeat exactly, and the finer lattice within them only to about half a pixel
    bound = _lost(surface, ROUNDED).clamp_min(BROKEN)
    whole = (_misfit(basis) < HEXAGONAL) & (_misfit(coarser) >= HEXAGONAL)
    bound = torch.where(whole, lost.clamp_min(HEXAGONAL_SLACK), bound)
    taken = outside < (1 - bound) * inside
    return Lattice(
        torch.where(taken[:, None, None], coarser, basis),
        torch.where(taken, inside, level),
        torch.where(taken, outside, refused),
        torch.where(taken[:, None, None], basis, finer),
        coarser,
        inside,
    )
