"""Sums of an image times exp(-2 pi i q x) at any frequencies q: a non-uniform FFT.

The image is divided by the transform of a Kaiser-Bessel kernel, transformed on a grid twice as fine, and the
kernel's few grid values about each frequency are summed (Jackson, Meyer, Nishimura and Macovski, IEEE Trans. Med.
Imaging 10, 1991). The error is some 1e-5 of the image's sum of absolute values.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

WIDTH = 5  # grid points of the kernel along each axis
OVERSAMPLING = 2.0
BETA = torch.pi * (WIDTH**2 * (1 - 0.5 / OVERSAMPLING) ** 2 - 0.8) ** 0.5


def fast_length(n: int) -> int:
    """Least even length of at least `n` with no prime factor above 5."""
    m = n + n % 2
    while True:
        rest = m
        for p in (2, 3, 5):
            while rest % p == 0:
                rest //= p
        if rest == 1:
            return m
        m += 2


def _kernel(u: Tensor) -> Tensor:
    """Kaiser-Bessel kernel at distances `u` in grid points."""
    inside = (1 - (2 * u / WIDTH) ** 2).clamp_min(0)
    kernel: Tensor = torch.special.i0(BETA * inside.sqrt()) * (inside > 0)
    return kernel


def _transform(k: Tensor) -> Tensor:
    """The kernel's Fourier transform at `k` cycles per grid point, below the first zero."""
    root = (BETA**2 - (torch.pi * WIDTH * k) ** 2).sqrt()
    transform: Tensor = WIDTH * torch.sinh(root) / root
    return transform


def _axis(n: int, device: torch.device) -> tuple[int, Tensor]:
    size = fast_length(int(OVERSAMPLING * n))
    return size, 1 / _transform((torch.arange(n, device=device) - n // 2) / size)


def fourier_sums(images: Tensor, frequencies: Tensor) -> Tensor:
    """Images (B or 1, C, H, W) at `frequencies` (B, K, 2) cycles per px (x, y): (B, C, K) complex.

    The origin is the image's middle, ``((W - 1) / 2, (H - 1) / 2)``; |q| below 0.5.
    """
    *_, H, W = images.shape
    (sy, gy), (sx, gx) = (_axis(n, images.device) for n in (H, W))
    spectrum = torch.fft.rfft2(F.pad(images * gy[:, None] * gx, (0, sx - W, 0, sy - H)))
    spectrum = spectrum.expand(len(frequencies), -1, -1, -1)
    scaled = frequencies * frequencies.new_tensor([sx, sy])
    first = (scaled - (WIDTH - 1) / 2).round()
    at = first[..., None, :] + torch.arange(WIDTH, device=images.device)[:, None]
    weight = _kernel(at - scaled[..., None, :])
    # the FFT counts pixels from the corner, the kernel from pixel n // 2
    turn = torch.pi * 2 * at * at.new_tensor([W // 2 / sx, H // 2 / sy])
    wave = torch.polar(weight, turn)
    mx, my = at.long().unbind(-1)
    mx, my = ((mx + sx // 2) % sx - sx // 2)[..., None, :], my[..., :, None]
    index = torch.where(mx < 0, (-my) % sy, my % sy) * (sx // 2 + 1) + mx.abs()
    flat = spectrum.flatten(2)
    C = flat.shape[1]
    values = flat.gather(2, index.flatten(1)[:, None].expand(-1, C, -1)).unflatten(2, index.shape[1:])
    values = torch.where((mx < 0)[:, None], values.conj(), values)
    sums = torch.einsum("bckyx,bky,bkx->bck", values, wave[..., 1], wave[..., 0])
    middle = frequencies.new_tensor([(W - 1) / 2 - W // 2, (H - 1) / 2 - H // 2])
    shift = 2 * torch.pi * (frequencies * middle).sum(-1)
    result: Tensor = sums * torch.polar(torch.ones_like(shift), shift)[:, None]
    return result
