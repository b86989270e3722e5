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

SLACK, TEXTURE_SLACK = 0.02, 0.06  # what a finer lattice may lose besides standard errors, see `find_lattice`
LARGEST = 10  # index up to which superlattices are looked for
SURE = 6.0  # standard errors by which an image must repeat better on a superlattice, ...
LEAST = 0.002  # ... and at least by this much
POINTS = 3.5  # lattice points of a superlattice, of each +- pair one, that must be within reach
EVEN = 4.0  # times the variance of the levels off it that those on a superlattice may have
FLAT = 0.02  # det of the points' second moments over their squared mean, below which they lie along a line
SCATTER = 1e-3  # levels of exact repeats scatter by less: interpolation


@dataclass(frozen=True)
class Refinements:
    """Every lattice finer by a prime index.

    The finer bases (N, 2, 2), the fractions that are added (T, 2), all multiples of one of them, which
    refinement each belongs to (T,), and the slack of each refinement (N,).
    """

    bases: list[list[list[float]]]
    fractions: list[tuple[float, float]]
    owner: list[int]
    slack: list[float]


@lru_cache(maxsize=1)
def refinements() -> Refinements:
    """There are p + 1 lattices of prime index p; a fraction and its negative are one.

    Pseudo-lattices divide a cell by two or three; a fifth is nearly always the texture of a true lattice and needs
    less proof.
    """
    made = Refinements([], [], [], [])
    for p in (2, 3, 5, 7, 11, 13, 17):
        for step in (*((1, k) for k in range(p)), (0, 1)):
            made.bases.append([[1 / p, 0.0], [step[1] / p, 1.0]] if step[0] else [[1.0, 0.0], [0.0, 1 / p]])
            made.slack.append(SLACK if p <= 3 else TEXTURE_SLACK)
            for m in range(1, p // 2 + 1):
                made.fractions.append((m * step[0] % p / p, m * step[1] % p / p))
                made.owner.append(len(made.bases) - 1)
    return made


@lru_cache(maxsize=4)
@torch.inference_mode(False)
def _superlattices(device: torch.device) -> Tensor:
    """All superlattices up to index `LARGEST`: bases (N, 2, 2) in units of the lattice's own."""
    made = [
        [[n // d, shift], [0, d]]
        for n in range(2, LARGEST + 1)
        for d in range(1, n + 1)
        if n % d == 0
        for shift in range(n // d)
    ]
    return torch.tensor(made, dtype=torch.float32, device=device)


@dataclass(frozen=True)
class _Levels:
    """Levels of some of an image's lattice points: their weight, mean, variance and effective number, (B, N) each."""

    total: Tensor
    mean: Tensor
    variance: Tensor
    count: Tensor

    @classmethod
    def of(cls, values: Tensor, weight: Tensor, part: Tensor) -> _Levels:
        """Of `values` and `weight` (B, K) on the points that `part` (N, K), 0 or 1, picks."""
        total = (weight @ part.T).clamp_min(1e-9)
        mean = (weight * values) @ part.T / total
        variance = (weight[:, None] * part * (values[:, None] - mean[..., None]).square()).sum(-1) / total
        return cls(total, mean, variance, total.square() / (weight.square() @ part.T).clamp_min(1e-9))


def superlattice(values: Tensor, weight: Tensor, nm: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The superlattice on which images repeat clearly better than on the lattice: (B, 2, 2) in units of the lattice.

    And how well they repeat on it, and off it: (B,) each. `values` (B, K) are the correlations of an image with itself
    moved by lattice points `nm` (K, 2), one of each +- pair, and `weight` (B, K) how far each counts. Where nothing
    stands out by `SURE` standard errors it is the lattice itself, and both levels are its own.
    """
    bases = _superlattices(values.device)
    at = torch.linalg.inv(bases) @ nm.T
    inside = ((at - at.round()).abs().amax(1) < 1e-3).to(nm)
    on, off = (_Levels.of(values, weight, part) for part in (inside, 1 - inside))
    left = (on.total * on.variance + off.total * off.variance) / (on.total + off.total)
    error = ((left + SCATTER**2) * (1 / on.count.clamp_min(1e-9) + 1 / off.count.clamp_min(1e-9))).sqrt()
    gain = on.mean - off.mean
    sure = (gain > SURE * error) & (gain > LEAST) & (on.count >= POINTS) & (off.count >= POINTS)
    # on a lattice of its own an image repeats evenly, and along one line there is no lattice: stripes, slipped rows
    sure &= on.variance < EVEN * off.variance + SCATTER**2
    moment = torch.einsum("bk,nk,ki,kj->bnij", weight, inside, nm, nm)
    sure &= torch.linalg.det(moment) > FLAT * moment.diagonal(dim1=-2, dim2=-1).mean(-1).square()
    # the one that leaves least unexplained
    merit, pick = torch.where(sure, -left, -torch.inf).max(1)
    found, rows = merit.isfinite(), torch.arange(len(values), device=values.device)
    one, level = torch.eye(2, device=values.device), (values * weight).sum(-1) / weight.sum(-1).clamp_min(1e-9)
    levels = [torch.where(found, x.mean[rows, pick], level) for x in (on, off)]
    return torch.where(found[:, None, None], bases[pick], one), levels[0], levels[1]


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
