"""The origin at which a setting's operations hold best: where the squares of what deviates from it sum to least.

The part of the structure factors that has the symmetry, and hence that sum, is a Fourier series in the origin. Its
frequencies are whole numbers, so one inverse transform has it at all origins of a grid; Newton's steps do the rest.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .plan import FINE, Plan
from .reflections import Reflections

STEPS = 5
NEAREST = 1e-5  # of the whole power: what an origin half a cell away from the middle has to be better by


def best_origins(found: Reflections, plan: Plan, image: Tensor, setting: Tensor) -> Tensor:
    """Origins (P, 2), fractions of the reduced basis, for pairs (P,) of an image and a setting.

    Of equivalent ones the nearest to the middle of the image is taken; along free axes it is 0.
    """
    terms = _terms(found, plan, image, setting)
    wave = plan.wave[setting]
    index = ((wave[..., 0] % FINE) * FINE + wave[..., 1] % FINE).long().flatten(1)
    flat = terms.flatten(1)
    table = torch.zeros(len(flat), FINE * FINE, 2, dtype=flat.real.dtype, device=flat.device)
    table.scatter_add_(1, index[..., None].expand(-1, -1, 2), torch.view_as_real(flat))
    merit = torch.fft.ifft2(torch.view_as_complex(table).reshape(-1, FINE, FINE), norm="forward").real
    ticks = torch.fft.fftfreq(FINE, device=flat.device, dtype=wave.dtype)
    far = ticks.square()[:, None] + ticks.square()
    power = (found.used * found.values.abs().square()).sum((1, 2))[image].clamp_min(1e-24)
    start = (merit / power[:, None, None] - NEAREST * far).flatten(1).argmax(-1)
    origin = torch.stack([ticks[start // FINE], ticks[start % FINE]], -1)
    return _climbed(terms / power[:, None, None], wave, origin)


def _terms(found: Reflections, plan: Plan, image: Tensor, setting: Tensor) -> Tensor:
    """(P, O, N): their sum times exp(2 pi i wave u) is the power of the part that is symmetric about u."""
    F = found.values * found.used
    operation = plan.operation[setting]
    cross = torch.einsum("bcn,bckn->bkn", F, F[:, :, plan.to].conj())
    phase = 2 * math.pi * (plan.shift[setting] @ plan.hk.T)
    turned = torch.polar(plan.weight[setting][..., None].expand_as(phase).contiguous(), phase)
    return cross[image[:, None], operation] * turned * plan.on_grid[operation]


def _climbed(terms: Tensor, wave: Tensor, origin: Tensor) -> Tensor:
    """Origins (P, 2) after Newton's steps on the power; along free axes nothing moves."""
    one = torch.eye(2, device=origin.device, dtype=origin.dtype)
    best, highest = origin, torch.full_like(origin[:, 0], -torch.inf)
    for k in range(STEPS + 1):
        angle = 2 * math.pi * (wave @ origin[:, None, :, None])[..., 0]
        turned = terms * torch.polar(torch.ones_like(angle), angle)
        value = turned.real.sum((1, 2))
        best, highest = torch.where((value > highest)[:, None], origin, best), value.maximum(highest)
        if k == STEPS:
            break
        slope = -2 * math.pi * torch.einsum("pon,poni->pi", turned.imag, wave)
        bend = -((2 * math.pi) ** 2) * torch.einsum("pon,poni,ponj->pij", turned.real, wave, wave)
        bend = bend - (1e-3 * bend.abs().amax((-2, -1)).clamp_min(1e-6))[:, None, None] * one
        step = -torch.linalg.solve(bend, slope)
        # where the power does not bend down the step would lead down: stay
        step = torch.where(((step * slope).sum(-1) > 0)[:, None], step, 0.0)
        origin = origin + step * (0.5 / FINE / step.abs().amax(-1, keepdim=True).clamp_min(1e-9)).clamp_max(1.0)
    return best
