"""Lattices within a tolerance: translations that nearly hold, and superlattices that are nearly finer ones.

Translations count as operations: what a finer lattice would leave unexplained is its misfit, as of any symmetry. Below
that misfit an image has the coarser lattice, from there on the finer one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from .maps import reflection_weights
from .structure import Structure, harmonics

LARGEST = 10  # index up to which superlattices are looked for
SURE = 6.0  # standard errors by which an image must repeat better on a superlattice, ...
LEAST = 0.002  # ... and at least by this much
POINTS = 3.5  # lattice points of a superlattice, of each +- pair one, that must be within reach
EVEN = 4.0  # times the variance of the levels off it that those on a superlattice may have
FLAT = 0.02  # det of the points' second moments over their squared mean, below which they lie along a line
SCATTER = 1e-3  # levels of exact repeats scatter by less: interpolation


@dataclass(frozen=True)
class _Superlattices:
    """All superlattices up to index `LARGEST`: bases (N, 2, 2) in units of the lattice's own, and indices (N,)."""

    bases: Tensor
    index: Tensor

    def members(self, nm: Tensor) -> Tensor:
        """Which lattice points (K, 2) belong to each: (N, K), 0 or 1."""
        inside = torch.linalg.inv(self.bases) @ nm.T
        whole: Tensor = ((inside - inside.round()).abs().amax(1) < 1e-3).to(nm)
        return whole


@lru_cache(maxsize=4)
@torch.inference_mode(False)
def _superlattices(device: torch.device) -> _Superlattices:
    made = [
        [[n // d, shift], [0, d]]
        for n in range(2, LARGEST + 1)
        for d in range(1, n + 1)
        if n % d == 0
        for shift in range(n // d)
    ]
    bases = torch.tensor(made, dtype=torch.float32, device=device)
    return _Superlattices(bases, torch.linalg.det(bases).round())


def superlattice(values: Tensor, weight: Tensor, nm: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The superlattice on which images repeat clearly better than on the lattice: (B, 2, 2) in units of the lattice.

    And how well they repeat on it, and off it: (B,) each. `values` (B, K) are the correlations of an image with itself
    moved by lattice points `nm` (K, 2), one of each +- pair, and `weight` (B, K) how far each counts. Where nothing
    stands out by `SURE` standard errors it is the lattice itself, and both levels are its own.
    """
    table = _superlattices(values.device)
    inside = table.members(nm)
    sums = [(weight[:, None] * part).sum(-1) for part in (inside, 1 - inside)]
    means = [
        (weight * values)[:, None].mul(part).sum(-1) / total.clamp_min(1e-9)
        for part, total in zip((inside, 1 - inside), sums, strict=True)
    ]
    explained = torch.where(inside > 0, means[0][..., None], means[1][..., None])
    left = (weight[:, None] * (values[:, None] - explained).square()).sum(-1) / weight.sum(-1)[:, None].clamp_min(1e-9)
    count = [
        total.square() / (weight.square()[:, None] * part).sum(-1).clamp_min(1e-9)
        for part, total in zip((inside, 1 - inside), sums, strict=True)
    ]
    error = ((left + SCATTER**2) * (1 / count[0].clamp_min(1e-9) + 1 / count[1].clamp_min(1e-9))).sqrt()
    gain = means[0] - means[1]
    sure = (gain > SURE * error) & (gain > LEAST) & (count[0] >= POINTS) & (count[1] >= POINTS)
    # on a lattice of its own an image repeats evenly, and along one line there is no lattice: stripes, slipped rows
    scatter = [
        (weight[:, None] * part * (values[:, None] - mean[..., None]).square()).sum(-1) / total.clamp_min(1e-9)
        for part, mean, total in zip((inside, 1 - inside), means, sums, strict=True)
    ]
    sure &= scatter[0] < EVEN * scatter[1] + SCATTER**2
    moment = torch.einsum("bk,nk,ki,kj->bnij", weight, inside, nm, nm)
    sure &= torch.linalg.det(moment) > FLAT * moment.diagonal(dim1=-2, dim2=-1).mean(-1).square()
    # the one that leaves least unexplained
    merit, pick = torch.where(sure, -left, -torch.inf).max(1)
    found, rows = merit.isfinite(), torch.arange(len(values), device=values.device)
    one, level = torch.eye(2, device=values.device), (values * weight).sum(-1) / weight.sum(-1).clamp_min(1e-9)
    on, off = (torch.where(found, mean[rows, pick], level) for mean in means)
    return torch.where(found[:, None, None], table.bases[pick], one), on, off


def translation_misfits(structure: Structure, basis: Tensor, finer: Tensor) -> Tensor:
    """Misfits (B,) of lattices `finer` (B, 2, 2) px on the averaged cells of a coarser lattice `basis` (B, 2, 2) px.

    1 minus the lowest correlation of the cell with itself moved by a vector of the finer lattice: 0 if they are one.
    """
    weight, power, _ = reflection_weights(structure)
    strength = (weight[:, -1] * power).flatten(1)
    # all vectors of the finer lattice within one cell of the coarser, one of each +- pair: multiples of its two vectors
    step = torch.linalg.solve(basis, finer)
    n = torch.arange(LARGEST + 1, device=basis.device).float()
    moves = torch.stack(torch.meshgrid(n, n, indexing="ij"), -1).reshape(-1, 2) @ step.mT
    phase = moves @ harmonics(basis.device).reshape(-1, 2).T
    correlation = (torch.cos(2 * torch.pi * phase) * strength[:, None]).sum(-1)
    return 1 - (correlation / strength.sum(-1, keepdim=True).clamp_min(1e-12)).amin(1)
