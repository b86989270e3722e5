"""Structure factors of an averaged cell with their uncertainties: which of them stand above the noise, which count.

Colours are turned to uncorrelated components first, the strongest first: a grey image has one, and no colour is
averaged away. The uncertainty comes from what sets the even and the odd cells apart, at the reflection and in its ring
of |q|, half and half.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..evidence.maps import RINGS
from ..evidence.structure import Structure
from .plan import Plan

ABOVE = 4.0  # standard uncertainties from which a reflection stands above the noise: by chance 1 in 3000 does
FLOOR = 1e-3  # of the strongest amplitude: pixels do not show less


@dataclass(frozen=True)
class Reflections:
    """Reflections of B images, C components of colour, N = GRID**2 indices (h, k) in FFT order, both Friedel mates.

    `values` (B, C, N) complex are Fourier coefficients: the averaged cell is their sum times exp(2 pi i (h x + k y)),
    in greys of [0, 1] about the mean. `sigma` (B, C, N) is the standard uncertainty of either component of a value.
    `observed` (B, C, N): above the noise. `used` (B, C, N): observed, or equivalent to one that is under an operation
    that the lattice allows; these are the data, the same for every group.
    """

    values: Tensor
    sigma: Tensor
    observed: Tensor
    used: Tensor


def reflections(structure: Structure, plan: Plan, allowed: Tensor) -> Reflections:
    """The reflections of averaged cells (B, C, GRID, GRID), on lattices that allow matrices `allowed` (B, K) of a plan.

    Indices whose equivalents are not all known are left out.
    """
    F, noise, radius = structure.coefficients.flatten(2), structure.noise.flatten(3), structure.radius.flatten(1)
    turn = _components(F).to(F.dtype)
    values = turn @ F
    own = (turn[:, None] @ noise).abs().square().mean(1) / 2
    # three samples at a reflection are uncertain, a whole ring is not about it: half and half
    sigma = ((own + _ring_means(own, radius)) / 2).sqrt()
    sigma = sigma.maximum(FLOOR * values.abs().amax((1, 2), keepdim=True)).clamp_min(1e-12)
    known = radius <= 1
    partners = known[:, plan.to] & plan.on_grid
    whole = (known & (partners | ~allowed[..., None]).all(1))[:, None]
    observed = (values.abs() > ABOVE * sigma) & whole
    equivalent = (observed[:, :, plan.to] & allowed[:, None, :, None]).any(2)
    return Reflections(values, sigma, observed, (observed | equivalent) & whole)


def _components(F: Tensor) -> Tensor:
    """Rotations (B, C, C) of colours (B, C, N) to uncorrelated components, the strongest first; bright stays bright."""
    _, axes = torch.linalg.eigh((F @ F.mH).real)
    turn = axes.mT.flip(1)
    signs = torch.where(turn.sum(-1, keepdim=True) < 0, -1.0, 1.0)
    bright: Tensor = turn * signs / F.shape[1] ** 0.5
    return bright


def _ring_means(power: Tensor, radius: Tensor) -> Tensor:
    """Means (B, C, N) of a power over the ring of each index."""
    ring = (radius * RINGS).long().clamp_max(RINGS)[:, None].expand_as(power)
    total = power.new_zeros(*power.shape[:2], RINGS + 1).scatter_add_(2, ring, power)
    count = power.new_zeros(*power.shape[:2], RINGS + 1).scatter_add_(2, ring, torch.ones_like(power))
    means: Tensor = (total / count.clamp_min(1)).gather(2, ring)
    return means
