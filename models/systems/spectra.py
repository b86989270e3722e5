"""Representations of the first route: the Fourier transform's log magnitude, and the Radon transform."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LogSpectrum(nn.Module):
    """Images (B, C, H, W) to log magnitudes of their Fourier transform, same shape, zero frequency in the middle.

    A Hann window keeps the image's borders from drawing a cross; each image is scaled to mean 0 and variance 1.
    """

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        H, W = images.shape[-2:]
        window = [torch.hann_window(n, periodic=False, device=images.device) for n in (H, W)]
        centred = images - images.mean((2, 3), keepdim=True)
        spectrum = torch.fft.fft2(centred * window[0][:, None] * window[1])
        # squares: the magnitude itself has no slope at zero
        power = torch.fft.fftshift(spectrum.real.square() + spectrum.imag.square(), (-2, -1))
        log = 0.5 * (power + 1e-6).log()
        middle, spread = log.mean((1, 2, 3), keepdim=True), log.std((1, 2, 3), keepdim=True)
        scaled: Tensor = (log - middle) / spread.clamp_min(1e-6)
        return scaled


def radon(images: Tensor, degrees: Tensor) -> Tensor:
    """Line integrals of (B, C, S, S) within the inscribed disc at A angles: (B, C, S, A), as scikit-image orders them.

    Differentiable; bilinear. The axis of rotation is pixel ``S // 2``. Column a sums along the direction that is
    turned by ``degrees[a]``.
    """
    side = images.shape[-1]
    middle = side // 2
    ticks = torch.arange(side, device=images.device, dtype=images.dtype) - middle
    y, x = torch.meshgrid(ticks, ticks, indexing="ij")
    disc = images * ((x**2 + y**2) <= middle**2)
    columns = []
    for angle in degrees.tolist():
        c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        at = torch.stack([c * x + s * y, c * y - s * x], -1) + middle
        grid = (at * (2 / max(side - 1, 1)) - 1).expand(len(images), -1, -1, -1)
        columns.append(F.grid_sample(disc, grid, mode="bilinear", align_corners=True).sum(-2))
    return torch.stack(columns, -1)


class Radon(nn.Module):
    """Images (B, C, S, S) to their Radon transform (B, C, S, A), A = S / 2 angles of half a turn, scaled to [0, 1]."""

    def __init__(self, side: int) -> None:
        super().__init__()
        count = max(8, side // 2)
        self.register_buffer("degrees", torch.arange(count) * (180 / count), persistent=False)

    degrees: Tensor

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        return radon(images, self.degrees) / images.shape[-1]
