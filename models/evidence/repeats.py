"""How well images repeat after shifts: the autocorrelation less noise, read on lattices, and lattices fitted to it."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from ...arrays import in_pieces, in_threads
from .autocorrelation import REACH, autocorrelation, blurred, bragg_filtered, continued, quadratic, sample

BLUR = 1.0  # px: peaks of finer texture than this cannot be placed between pixels
SHORTEST = 3.0  # px: shorter vectors are not looked for
HALF = 8  # lattice points up to HALF * a + HALF * b support a basis


def surfaces(flat: Tensor) -> Tensor:
    """Autocorrelations of images (B, C, H, W) without slopes, of which the noise is left out, `continued`."""

    def surface(some: Tensor) -> Tensor:
        if some.device.type == "cpu" and some.shape[1] == 3 and torch.equal(some[:, :2], some[:, 1:]):
            some = some[:, :1]  # greys correlate as one of their channels
        return continued(autocorrelation(blurred(bragg_filtered(some), BLUR)))

    return in_pieces(surface, flat)


def levels_on(flat: Tensor, basis: Tensor) -> Tensor:
    """How well images (B, C, H, W) without slopes repeat on given lattices (B, 2, 2) px, as `Lattice.level`: (B,)."""
    nothing = basis.new_zeros(1, 2)
    return coset_levels(surfaces(flat), basis, nothing, (flat.shape[-2], flat.shape[-1]))[0][:, 0]


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def combinations(half: int, device: torch.device) -> Tensor:
    """Integer pairs (n, m), one of each +-pair, zero left out: (K, 2)."""
    n = torch.arange(-half, half + 1, device=device)
    pairs = torch.stack(torch.meshgrid(n, n, indexing="ij"), -1).reshape(-1, 2)
    keep = (pairs[:, 1] > 0) | ((pairs[:, 1] == 0) & (pairs[:, 0] > 0))
    return pairs[keep].float()


def weights(points: Tensor, shape: tuple[int, int]) -> Tensor:
    """Share of the image that overlaps itself after a shift, 0 beyond the reach: (...,)."""
    H, W = shape
    x, y = points[..., 0].abs(), points[..., 1].abs()
    inside = (x < REACH * W - 2) & (y < REACH * H - 2)
    return ((1 - x / W) * (1 - y / H)).clamp_min(0) * inside


def coset_levels(surface: Tensor, basis: Tensor, cosets: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Mean autocorrelation over the lattice shifted by fractions of it, and the standard error of that mean.

    Bases (B, 2, 2), cosets (T, 2) in [0, 1) to (B, T) each. The mean runs over lattice points within the reach,
    weighted by overlap; zero shift left out.
    """
    n = torch.arange(-HALF, HALF + 1, device=basis.device).float()
    nm = torch.stack(torch.meshgrid(n, n[HALF:], indexing="ij"), -1).reshape(-1, 2)
    if basis.device.type != "cpu" or len(cosets) == 1:
        return _levels(surface, basis, cosets, nm, shape)
    near = _near(basis, nm, shape)  # on a processor, points out of reach cost as much as others

    def one(k: int) -> tuple[Tensor, Tensor]:
        return _levels(surface[k : k + 1], basis[k : k + 1], cosets, nm[near[k]], shape)

    mean, error = zip(*in_threads(one, range(len(basis)), basis.device), strict=True)
    return torch.cat(mean), torch.cat(error)


def _near(basis: Tensor, nm: Tensor, shape: tuple[int, int]) -> Tensor:
    """Whether a cell that begins at the points `nm` (K, 2) of a lattice may hold shifts within the reach: (B, K)."""
    corners = nm[:, None] + nm.new_tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
    at = torch.einsum("bij,kcj->bkci", basis, corners)
    limit = REACH * at.new_tensor([shape[1], shape[0]])
    return ((at.amin(2) < limit) & (at.amax(2) > -limit)).all(-1)


def _levels(
    surface: Tensor, basis: Tensor, cosets: Tensor, nm: Tensor, shape: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    points = (nm @ basis.mT)[:, None] + (cosets @ basis.mT)[:, :, None]  # (B, T, K, 2)
    moved = (nm != 0).any(-1) | (cosets != 0).any(-1)[:, None]
    weight = weights(points, shape) * moved
    total = weight.sum(-1).clamp_min(1e-9)
    values = sample(surface, points)
    mean = (values * weight).sum(-1) / total
    variance = ((values - mean[..., None]).square() * weight).sum(-1) / total
    effective = total.square() / weight.square().sum(-1).clamp_min(1e-9)
    return mean, (variance / (effective - 1).clamp_min(1)).sqrt()


def refine(surface: Tensor, basis: Tensor, shape: tuple[int, int]) -> Tensor:
    """Newton's method on the mean autocorrelation over lattice points, near ones first: (B, 2, 2)."""
    start = basis
    for half in (1, 1, 2, 4, HALF, HALF):
        nm = combinations(half, basis.device)
        points = torch.einsum("bij,kj->bki", basis, nm)
        slope, bend = quadratic(surface, points)
        weight = weights(points, shape)
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


def sixfold(surface: Tensor, basis: Tensor) -> Tensor:
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


def lost_when_moved(surface: Tensor, distance: float) -> Tensor:
    """What an image loses of its autocorrelation when it is moved by `distance` px, on average: (B,)."""
    lost: Tensor = 1 - sample(surface, surface.new_tensor(_RING).expand(len(surface), -1, -1) * distance).mean(1)
    return lost


_RING = tuple((math.cos(t), math.sin(t)) for t in (k * math.pi / 6 for k in range(6)))
