"""Matched controls: images with the power spectrum of a pattern and none of its symmetry.

In studies of vision every pattern is shown beside a control that differs from it in the phases of its Fourier
transform alone, so that what tells them apart is symmetry: Kohler, Clarke, Yakovleva, Liu and Norcia, "Representation
of maximally regular textures in human visual cortex", J. Neurosci. 36, 714, 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

Half = Literal["patterns", "controls"]
HALVES: tuple[Half, ...] = get_args(Half)
STREAM = 7021  # of random numbers, apart from those that draw patterns


def matched(images: Tensor, keys: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Images (B, 3, H, W) in [0, 1], and a control of each: both (B, 3, H, W) in [0, 1], of the same power spectrum.

    Random phases, the same in all channels, are added to those of the image. The contrast of both is reduced by the
    same factor, so that the control need not be clipped. Image `k` draws from ``keys[k]`` alone.
    """
    H, W = images.shape[-2:]
    noise = torch.stack([_noise(key, H, W) for key in keys]).to(images)
    phases = torch.fft.rfft2(noise)
    phases = phases / phases.abs().clamp_min(1e-12)
    mean = images.mean((2, 3), keepdim=True)
    apart = torch.fft.irfft2(torch.fft.rfft2(images - mean) * phases[:, None], s=(H, W))
    room = torch.where(apart > 0, 1 - mean, mean) / apart.abs().clamp_min(1e-6)
    factor = room.amin((1, 2, 3), keepdim=True).clamp_max(1.0)
    return mean + factor * (images - mean), (mean + factor * apart).clamp(0, 1)


def _noise(key: Sequence[int], H: int, W: int) -> Tensor:
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([*key, STREAM])))
    return torch.from_numpy(rng.standard_normal((H, W)))
