"""Copies of a kernel under the elements of a cyclic or dihedral group, as matrices that act on its pixels.

A copy is linear in the kernel's weights, so it is a matrix U (P, M) with P = k * k. Group convolution uses the
matrices of true rotations, sharing learnt by reparameterisation begins with any and learns them.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH = 0.6  # px: of the spots that a kernel is made of
MARGIN = 0.5  # px between the outermost spots' middles and the border pixels' middles


def elements(rotations: int, mirror: bool = False) -> Tensor:
    """The group's matrices (G, 2, 2), the identity first: rotations, then each of them after a mirror."""
    angle = 2 * math.pi / rotations * torch.arange(rotations, dtype=torch.float64)
    cos, sin = angle.cos(), angle.sin()
    turns = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
    if mirror:
        turns = torch.cat([turns, turns @ torch.tensor([[-1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)])
    return turns.float()


@lru_cache(maxsize=16)
def division_table(rotations: int, mirror: bool = False) -> Tensor:
    """(G, G) int64: the number of ``g^-1 h`` for the elements g (row) and h (column)."""
    matrices = elements(rotations, mirror)
    products = matrices.mT[:, None] @ matrices[None]
    distance = (products[:, :, None] - matrices).abs().amax((-2, -1))
    return distance.argmin(-1)


@lru_cache(maxsize=16)
def copies(side: int, rotations: int, mirror: bool = False) -> Tensor:
    """Matrices (G, side^2, M) from the M weights of a kernel to the pixels of its copies.

    A kernel is a sum of Gaussian spots on the pixels about its middle, so that a copy is the same sum on moved spots,
    exact but for what leaves the window. (Turning pixels by bicubic interpolation loses a third of a 5 x 5 kernel.)
    """
    middle = (side - 1) / 2
    ticks = torch.arange(side) - middle
    pixels = torch.stack(torch.meshgrid(ticks, ticks, indexing="xy"), -1).reshape(-1, 2)
    spots = pixels[pixels.norm(dim=1) <= middle - MARGIN]
    moved = spots @ elements(rotations, mirror).mT
    return torch.exp(-0.5 * (torch.cdist(pixels.expand(len(moved), -1, -1), moved) / WIDTH) ** 2)


def he_normal(*shape: int, fan_in: int) -> nn.Parameter:
    """A parameter with normal entries of variance 2 / fan_in (He et al., ICCV 2015)."""
    return nn.Parameter(torch.randn(*shape) * math.sqrt(2 / fan_in))


def turned(images: Tensor, degrees: float, mirror: bool = False) -> Tensor:
    """Images (B, C, H, H) turned about their middle, bicubic; what equivariance is measured with."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    matrix = torch.tensor([[c, -s, 0.0], [s, c, 0.0]], device=images.device)
    if mirror:
        matrix = matrix * torch.tensor([-1.0, 1.0, 1.0], device=images.device)
    grid = F.affine_grid(matrix.expand(len(images), -1, -1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bicubic", padding_mode="zeros", align_corners=False)


def invariance_error(network: nn.Module, images: Tensor, degrees: float, mirror: bool = False) -> float:
    """How far features (B, D) move when images are turned, relative to how far they differ among images."""
    with torch.no_grad():
        before, after = network(images), network(turned(images, degrees, mirror))
        spread = (before - before.mean(0)).norm()
        return float((after - before).norm() / spread.clamp_min(1e-12))
