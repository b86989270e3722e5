"""The symmetry filter of Guo, Qin and Agar, "Understanding Experimental Data by Identifying Symmetries with Deep
Learning", figure 2: an operator measures whether a window has one symmetry, without learning anything.

A random kernel is copied under the powers of an operation. Each copy is multiplied with the window, pixel by pixel,
and summed: a, b, c, d. A window that has the symmetry gives the same sum for every copy, and the indicator is 1 minus
their standard deviation.

Two choices are ours. The random kernel is a sum of Gaussian spots with random weights: moving the spots moves the
kernel exactly, by any angle, where turning pixels would blur it. And the sums are divided by the window's own
contrast, so that 0 is about what an unsymmetric window gives, and 1 a perfect one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .kernels import elements

SPOTS = 24  # in a random kernel
SHARPNESS = 7.0  # radius of the window over the width of a spot
FLOOR = 1e-3  # contrast below which a window counts as flat


@dataclass(frozen=True)
class Operator:
    """Maps of the plane whose copies are compared: `matrices` (K, 2, 2), `shifts` (K, 2) in window radii."""

    name: str
    matrices: Tensor
    shifts: Tensor


def operators(axes: int = 4, glides: tuple[float, ...] = (0.5,)) -> list[Operator]:
    """Rotations of order 2, 3, 4 and 6; mirrors about `axes` directions; glides along them, in window radii."""
    made = [Operator(f"{n}-fold", elements(n), torch.zeros(n, 2)) for n in (2, 3, 4, 6)]
    for k in range(axes):
        angle = math.pi * k / axes
        axis = torch.tensor([math.cos(angle), math.sin(angle)])
        mirror = 2 * torch.outer(axis, axis) - torch.eye(2)
        both = torch.stack([torch.eye(2), mirror])
        degrees = f"{180 * k / axes:g} deg"
        made.append(Operator(f"mirror {degrees}", both, torch.zeros(2, 2)))
        for glide in glides:
            along = torch.stack([-glide / 2 * axis, glide / 2 * axis])
            made.append(Operator(f"glide {degrees}, {glide:g}", both, along))
    return made


class SymmetryFilter(nn.Module):
    """Indicators of O operators in every window of `side` px, an odd number.

    Parameters
    ----------
    channels, side : of the image, of the window in px.
    draws : random kernels for every operator, over which standard deviations are averaged; 1 in the paper.
    stride : px between windows.
    """

    kernels: Tensor
    blur: Tensor
    disc: Tensor

    def __init__(self, channels: int, side: int, draws: int = 2, stride: int = 1, seed: int = 0, axes: int = 4) -> None:
        super().__init__()
        if side % 2 == 0:
            raise ValueError(f"a window of {side} px has no middle pixel: give an odd number")
        self.side, self.draws, self.stride, self.channels = side, draws, stride, channels
        self.operators = operators(axes)
        generator = torch.Generator().manual_seed(seed)
        radius = side / 2
        width = radius / SHARPNESS
        ticks = torch.arange(side) - side // 2
        y, x = torch.meshgrid(ticks, ticks, indexing="ij")
        pixels = torch.stack([x, y], -1).float()
        disc = (pixels.norm(dim=-1) <= radius).float().flatten()
        disc = disc / disc.sum()
        kernels = []
        for operator in self.operators:
            reach = radius - 2 * width - radius * float(operator.shifts.norm(dim=1).max())
            for _ in range(draws):
                angle = 2 * math.pi * torch.rand(SPOTS, generator=generator)
                distance = reach * torch.rand(SPOTS, generator=generator).sqrt()
                spots = torch.stack([angle.cos(), angle.sin()], -1) * distance[:, None]
                weight = torch.randn(SPOTS, channels, generator=generator)
                weight = weight - weight.mean(0)  # so that brightness does not count, and what pixels leave of it below
                weight = weight / weight.norm()
                moved = spots @ operator.matrices.mT + radius * operator.shifts[:, None]
                spot = torch.exp(-0.5 * torch.cdist(pixels.reshape(-1, 2), moved.reshape(-1, 2)).square() / width**2)
                spot = spot.reshape(-1, len(operator.matrices), SPOTS) / (2 * math.pi * width**2)
                kernel = torch.einsum("pks,sc->kcp", spot, weight)
                kernels.append(kernel - kernel.sum(-1, keepdim=True) * disc)
        self.register_buffer("kernels", torch.cat(kernels).reshape(-1, channels, side, side), persistent=False)
        blur = torch.exp(-0.5 * (torch.arange(-int(3 * width) - 1, int(3 * width) + 2) / width) ** 2)
        self.register_buffer("blur", blur / blur.sum(), persistent=False)
        self.register_buffer("disc", disc.reshape(1, 1, side, side), persistent=False)

    def windows(self, images: Tensor) -> Tensor:
        """Indicators of all windows that lie within the images: (B, O, h, w); (B, O, 1, 1) of a single window."""
        sums = F.conv2d(images, self.kernels, stride=self.stride) / self._contrast(images)
        found, k = [], 0
        for operator in self.operators:
            count = len(operator.matrices)
            of_one = sums[:, k : k + self.draws * count]
            of_one = of_one.reshape(len(sums), self.draws, count, *sums.shape[-2:])
            spread = (of_one.var(2, correction=0) + 1e-8).sqrt()
            found.append(1 - spread.mean(1))
            k += self.draws * count
        return torch.stack(found, 1)

    def forward(self, images: Tensor) -> Tensor:
        """The dense form: indicators about every `stride`-th pixel, borders reflected: (B, O, h, w)."""
        return self.windows(F.pad(images, (self.side // 2,) * 4, mode="reflect"))

    def _contrast(self, images: Tensor) -> Tensor:
        """Standard deviation, within each window, of the image blurred as the spots are: (B, 1, h, w)."""
        flat = images.flatten(0, 1)[:, None]
        half = len(self.blur) // 2
        half = min(half, min(images.shape[-2:]) - 1)
        blur = self.blur[len(self.blur) // 2 - half : len(self.blur) // 2 + half + 1]
        padded = F.pad(flat, (half,) * 4, mode="reflect")
        smooth = F.conv2d(F.conv2d(padded, blur[None, None, None]), blur[None, None, :, None])
        smooth = smooth - smooth.mean((2, 3), keepdim=True)
        mean, square = (F.conv2d(t, self.disc, stride=self.stride) for t in (smooth, smooth.square()))
        variance = square - mean.square()
        variance = variance.reshape(len(images), -1, *variance.shape[-2:]).mean(1, keepdim=True)
        contrast: Tensor = variance.clamp_min(FLOOR**2).sqrt()
        return contrast


class CentredFilter(SymmetryFilter):
    """The filter at a hand-picked centre: windows (B, C, side, side) to indicators (B, O, 1, 1)."""

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        return self.windows(images)
