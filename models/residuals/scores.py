"""Residuals of the 17 groups: of phases, of amplitudes, of all together, and what noise alone would leave of them.

With F the structure factors, F_sym the mean of each over its equivalents about the group's best origin, and sums over
the reflections above the noise that the group does not extinguish::

    phase residual      sum |F| |phase(F) - phase(F_sym)| / sum |F|     (Hovmoller, Ultramicroscopy 41, 1992, 121)
    amplitude residual  sum ||F| - mean |F| of the equivalents| / sum |F|, where what a group extinguishes has mean 0

The mean over equivalents is that of the complex numbers, so phases are averaged with amplitudes for weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...hierarchy import GROUP_NAMES
from ..evidence.structure import Structure
from .origins import best_origins
from .plan import Plan, plan
from .reflections import Reflections, reflections
from .stretch import stretches

FORGIVEN = 0.0375  # the largest stretch of the lattice with which a setting is tested


@dataclass(frozen=True)
class Residuals:
    """Residuals of B images, G = 17 groups in the order of `GROUP_NAMES`, each in its best setting and origin.

    All (B, G), NaN where the lattice is too far from the group's metric. `phase` and `target`, in degrees, are the
    phase residual and the one that noise alone would leave; `amplitude` in [0, 2]; `squares` the sum of |F - F_sym|^2
    over one of each pair of Friedel mates, `expected` what noise alone would leave of it, `spread` the standard
    deviation of that. `free` is the number of real parameters of the symmetric structure factors and of the origin,
    `unique` the number of independent reflections. `stretch`, known for all, is what the lattice would need.
    `setting` (B, G) indexes `SETTINGS`, -1 where none was tested, and `origin` (B, G, 2) is in fractions of the reduced
    basis. `data` (B,) counts real data, and `noise` (B,) is the mean variance of one.
    """

    phase: Tensor
    target: Tensor
    amplitude: Tensor
    squares: Tensor
    expected: Tensor
    spread: Tensor
    free: Tensor
    unique: Tensor
    stretch: Tensor
    setting: Tensor
    origin: Tensor
    data: Tensor
    noise: Tensor
    found: Reflections


def residuals(structure: Structure, basis: Tensor, most: float = FORGIVEN) -> Residuals:
    """Residuals of averaged cells (B, C, GRID, GRID) on the reduced lattices `basis` (B, 2, 2).

    Settings that stretch the lattice by more than `most` are not tested.
    """
    made = plan(basis.device, basis.dtype)
    stretch = stretches(made, basis)
    fits = stretch <= most
    matrices = torch.zeros(len(basis), len(made.matrices), dtype=torch.bool, device=basis.device)
    image, setting = fits.nonzero().unbind(-1)
    matrices[image[:, None], made.operation[setting]] = True
    found = reflections(structure, made, matrices)
    origin = best_origins(found, made, image, setting)
    columns = scored(found, made, image, setting, origin)
    # of the settings of a group the one with the least squares
    slot, count = image * len(GROUP_NAMES) + made.group[setting], len(basis) * len(GROUP_NAMES)
    least = columns["squares"].new_full((count,), torch.inf).scatter_reduce(0, slot, columns["squares"], "amin")
    wins = (columns["squares"] <= least[slot]).nonzero().flatten()
    chosen = torch.full((count,), -1, device=basis.device).scatter(0, slot[wins], wins)
    there = chosen >= 0

    def shaped(x: Tensor, missing: float) -> Tensor:
        kept = torch.where(there.reshape(-1, *[1] * (x.ndim - 1)), x[chosen.clamp_min(0)], missing)
        filled: Tensor = kept.reshape(len(basis), len(GROUP_NAMES), *x.shape[1:])
        return filled

    needed = stretch.new_full((len(basis), len(GROUP_NAMES)), torch.inf)
    needed = needed.scatter_reduce(1, made.group.expand(len(basis), -1), stretch, "amin")
    own = shaped(stretch[image, setting], math.nan)
    data = found.used.sum((1, 2))
    variance = (found.used * found.sigma.square()).sum((1, 2)) / data.clamp_min(1)
    return Residuals(
        **{name: shaped(x, math.nan) for name, x in columns.items()},
        stretch=torch.where(own.isnan(), needed, own), setting=shaped(setting, -1), origin=shaped(origin, math.nan),
        data=data, noise=variance, found=found,
    )  # fmt: skip


def symmetrised(values: Tensor, made: Plan, setting: Tensor, origin: Tensor) -> Tensor:
    """The part of structure factors (P, C, N) that has the symmetry of settings (P,) about origins (P, 2)."""
    total = torch.zeros_like(values)
    for k in range(made.operation.shape[1]):
        operation = made.operation[setting, k]
        angle = made.shift[setting, k] @ made.hk.T + (made.wave[setting, k] @ origin[..., None])[..., 0]
        turn = torch.polar(made.weight[setting, k, None].expand_as(angle).contiguous(), -2 * math.pi * angle)
        total += values.gather(2, made.to[operation][:, None].expand_as(values)) * turn[:, None]
    return total


def scored(found: Reflections, made: Plan, image: Tensor, setting: Tensor, origin: Tensor) -> dict[str, Tensor]:
    """The numbers, as in `Residuals`, of pairs (P,) of an image and a setting about origins (P, 2)."""
    F, variance = found.values[image], found.sigma[image].square()
    used, size = found.used[image], F.abs()
    extinct, restricted = made.extinct[setting][:, None], made.restricted[setting][:, None]
    equivalents = made.multiplicity[setting][:, None]
    seen = found.observed[image] & ~extinct
    symmetric = symmetrised(F * used, made, setting, origin)
    weight = size * seen
    total = weight.sum((1, 2)).clamp_min(1e-12)
    off = (F * symmetric.conj()).angle().abs()
    phase = (weight * off).sum((1, 2)) / total
    # of the deviation across a value its equivalents' mean takes a share; where the phase is restricted, nothing
    across = torch.where(restricted, 1.0, 1 - 1 / equivalents)
    lost = made.fixed[setting] / ((across * seen).sum((1, 2)) / 2).clamp_min(1e-9)
    target = math.sqrt(2 / math.pi) * (variance.sqrt() * across.sqrt() * seen).sum((1, 2)) / total
    real = torch.where(extinct, 0.0, torch.where(restricted, 1.0, 2.0) / equivalents)
    removed = used * (2 - real)
    return {
        "phase": torch.rad2deg(phase),
        "target": torch.rad2deg(target * (1 - lost).clamp_min(0).sqrt()),
        "amplitude": _amplitudes(found, made, image, setting),
        "squares": (used * (F - symmetric).abs().square()).sum((1, 2)) / 2,
        "expected": (removed * variance).sum((1, 2)) / 2,
        "spread": (removed * variance.square()).sum((1, 2)).sqrt(),
        "free": (used * real).sum((1, 2)) / 2 + made.fixed[setting],
        "unique": ((used & ~extinct).any(1) / made.multiplicity[setting]).sum(1) / 2,
    }


def _amplitudes(found: Reflections, made: Plan, image: Tensor, setting: Tensor) -> Tensor:
    """Amplitude residuals (P,)."""
    size = (found.values.abs() * found.used)[image]
    mean = torch.zeros_like(size)
    for k in range(made.operation.shape[1]):
        to = made.to[made.operation[setting, k]][:, None].expand_as(size)
        mean += size.gather(2, to) * made.weight[setting, k, None, None]
    mean = torch.where(made.extinct[setting][:, None], 0.0, mean)
    seen = found.observed[image]
    return ((size - mean).abs() * seen).sum((1, 2)) / (size * seen).sum((1, 2)).clamp_min(1e-12)
