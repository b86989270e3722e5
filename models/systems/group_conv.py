"""Regular group convolutions with N rotations and mirrors of interpolated kernels.

Cohen and Welling, "Group equivariant convolutional networks", ICML 2016, for quarter turns; with interpolated
kernels for other angles as in Bekkers et al., MICCAI 2018, and Weiler and Cesa, "General E(2)-equivariant steerable
CNNs", NeurIPS 2019 (regular representations).
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .kernels import copies, division_table, he_normal

SIDE = 5  # px of a kernel: 3 are too few to turn by 30 degrees


class LiftingConv(nn.Module):
    """Images (B, in, H, W) to functions on the group (B, out * G, H, W): a response to every copy of each kernel."""

    copies: Tensor

    def __init__(self, channels: int, out: int, rotations: int, mirror: bool = False, side: int = SIDE) -> None:
        super().__init__()
        self.register_buffer("copies", copies(side, rotations, mirror), persistent=False)
        size = self.copies.shape[-1]
        self.weight = he_normal(out, channels, size, fan_in=channels * size)
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        kernels = torch.einsum("gpm,oim->ogip", self.copies, self.weight)
        return F.conv2d(x, kernels.reshape(-1, x.shape[1], self.side, self.side), padding=self.side // 2)


class GroupConv(nn.Module):
    """Functions on the group (B, in * G, H, W) to others (B, out * G, H, W)."""

    copies: Tensor
    division: Tensor

    def __init__(self, channels: int, out: int, rotations: int, mirror: bool = False, side: int = SIDE) -> None:
        super().__init__()
        self.register_buffer("copies", copies(side, rotations, mirror), persistent=False)
        self.register_buffer("division", division_table(rotations, mirror), persistent=False)
        order, _, size = self.copies.shape
        self.weight = he_normal(out, channels, order, size, fan_in=channels * order * size)
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        moved = self.weight[:, :, self.division]  # (out, in, g, h, m): the weight of g^-1 h
        kernels = torch.einsum("gpm,oighm->ogihp", self.copies, moved)
        return F.conv2d(x, kernels.reshape(-1, x.shape[1], self.side, self.side), padding=self.side // 2)


class GroupNorm(nn.Module):
    """Batch normalisation with one mean and variance for all elements of the group, so that they stay alike."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C * G, H, W) to the same."""
        merged: Tensor = self.norm(x.reshape(len(x), self.norm.num_features, -1, x.shape[-1]))
        return merged.reshape(x.shape)


class GroupNet(nn.Module):
    """Lifting, three group convolutions with halvings between, largest and mean over the group: (B, C, H, W) to (B, D).

    `width` is the number of channels times the group's order in the first layer, so that networks of different
    groups cost about the same. Height and width must be multiples of 8, or a turn moves the grid of the halvings.
    """

    def __init__(self, channels: int, width: int, rotations: int, mirror: bool = False) -> None:
        super().__init__()
        self.order = rotations * (2 if mirror else 1)
        first = max(2, width // self.order)
        widths = (first, first, 2 * first, 2 * first)
        layers: list[nn.Module] = [LiftingConv(channels, widths[0], rotations, mirror)]
        for before, after in pairwise(widths):
            layers += [GroupNorm(before), nn.ReLU(), nn.AvgPool2d(2), GroupConv(before, after, rotations, mirror)]
        self.layers = nn.Sequential(*layers, GroupNorm(widths[-1]), nn.ReLU())

    def forward(self, images: Tensor) -> Tensor:
        """Features that turns and mirrors of the image leave alone: (B, 2 C)."""
        x = self.layers(images).mean((2, 3))
        x = x.reshape(len(x), -1, self.order)
        return torch.cat([x.amax(-1), x.mean(-1)], 1)
