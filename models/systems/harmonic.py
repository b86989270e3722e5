"""Harmonic convolution: kernels R(r) exp(i (m phi + beta)), under which a turn of the image is a turn of phases.

Worrall, Garbin, Turmukhambetov and Brostow, "Harmonic networks: deep translation and rotation equivariance",
CVPR 2017. Features are complex and come in rotation orders; a kernel of order b - a leads from order a to order b.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .kernels import he_normal

ORDERS = 2  # rotation orders 0 and 1 are kept, as in the paper
SIDE = 5


def rings(side: int) -> tuple[Tensor, Tensor]:
    """Gaussian rings (R, side^2) of radius 0, 1, ... px, and the angle (side^2,) of every pixel."""
    ticks = torch.arange(side) - (side - 1) / 2
    y, x = torch.meshgrid(ticks, ticks, indexing="ij")
    radius, angle = torch.hypot(x, y).flatten(), torch.atan2(-y, x).flatten()
    middle = torch.arange(side // 2 + 1)[:, None]
    return torch.exp(-0.5 * ((radius - middle) / 0.5) ** 2) * (radius <= side / 2), angle


class HarmonicConv(nn.Module):
    """Complex features (B, A, C, 2, H, W) of A orders to (B, O, D, 2, H, W) of O orders; real and imaginary parts."""

    profile: Tensor

    def __init__(self, orders: tuple[int, int], channels: tuple[int, int], side: int = SIDE) -> None:
        super().__init__()
        (a, b), (before, after) = orders, channels
        ring, angle = rings(side)
        # the order of the kernel between each pair of orders; the middle has no angle, so only order 0 has it
        m = torch.arange(b)[:, None] - torch.arange(a)
        off_middle = torch.arange(side * side) != side * side // 2
        flat = ring.expand(b, a, -1, -1) * ((m == 0)[..., None, None] | off_middle)
        wave = torch.polar(torch.ones(b, a, 1, side * side), (m[..., None] * angle)[:, :, None])
        self.register_buffer("profile", torch.view_as_real(flat * wave), persistent=False)
        self.weight = he_normal(b, a, after, before, len(ring), fan_in=2 * a * before * side)
        self.phase = nn.Parameter(2 * math.pi * torch.rand(b, a, after, before))
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        real, imag = torch.einsum("bacdr,barpz->zbacdp", self.weight, self.profile)
        cos, sin = self.phase.cos()[..., None], self.phase.sin()[..., None]
        real, imag = real * cos - imag * sin, real * sin + imag * cos
        # complex multiplication as a real kernel: (b, c, 2, a, d, 2, p)
        kernel = torch.stack([torch.stack([real, -imag], -2), torch.stack([imag, real], -2)], 3)
        kernel = kernel.permute(0, 2, 3, 1, 4, 5, 6)
        b, c = kernel.shape[:2]
        y = F.conv2d(x.flatten(1, 3), kernel.reshape(b * c * 2, -1, self.side, self.side), padding=self.side // 2)
        return y.reshape(len(y), b, c, 2, *y.shape[-2:])


class MagnitudeGate(nn.Module):
    """Scale every feature by what batch normalisation and a ReLU leave of its magnitude; its phase is kept."""

    def __init__(self, orders: int, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(orders * channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, A, C, 2, H, W) to the same."""
        size = magnitude(x)
        gate = F.relu(self.norm(size.flatten(1, 2))).reshape(size.shape)
        return x * (gate / size)[:, :, :, None]


def magnitude(x: Tensor) -> Tensor:
    """(B, A, C, 2, H, W) to (B, A, C, H, W); kept from zero, where it has no slope."""
    return (x.square().sum(3) + 1e-6).sqrt()


class HarmonicNet(nn.Module):
    """Four harmonic convolutions with halvings between, then mean magnitudes: (B, C, H, W) to (B, D)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        first = max(2, width // (2 * ORDERS))
        plan = [((1, ORDERS), (channels, first)), ((ORDERS, ORDERS), (first, first))]
        plan += [((ORDERS, ORDERS), (first, 2 * first)), ((ORDERS, ORDERS), (2 * first, 2 * first))]
        self.convs = nn.ModuleList(HarmonicConv(*step) for step in plan)
        self.gates = nn.ModuleList(MagnitudeGate(orders[1], widths[1]) for orders, widths in plan)

    def forward(self, images: Tensor) -> Tensor:
        """Magnitudes (B, ORDERS * D), which a turn of the image leaves alone."""
        x = torch.stack([images, torch.zeros_like(images)], 2)[:, None]
        for k, (conv, gate) in enumerate(zip(self.convs, self.gates, strict=True)):
            if k:
                shape = x.shape
                x = F.avg_pool2d(x.flatten(1, 3), 2).reshape(*shape[:4], shape[4] // 2, shape[5] // 2)
            x = gate(conv(x))
        return magnitude(x).mean((-2, -1)).flatten(1)
