"""The background of images: brightness that rises across the view is not part of the pattern."""

from __future__ import annotations

import torch
from torch import Tensor

LEAST = 1e-3  # share of the variance that must remain: for a bare slope it is the rounding of its greys, which repeats


def without_slope(images: Tensor) -> Tensor:
    """Images (B, C, H, W) less their means and the plane that fits each channel best, of any range.

    The fit is weighted by a Hann window in x and y, so that a pattern of few cells in view, which a plane could follow
    in part, changes little. An image of which nearly nothing would remain, less than `LEAST`, keeps its slope.
    """
    H, W = images.shape[-2:]
    (y, wy), (x, wx) = (_axis(n, images) for n in (H, W))
    whole = images - images.mean((2, 3), keepdim=True)
    weight = wy[:, None] * wx
    across = (whole * (weight * x)).sum((2, 3), keepdim=True) / (wx * x * x).sum()
    down = (whole * (weight * y[:, None])).sum((2, 3), keepdim=True) / (wy * y * y).sum()
    flat = whole - across * x - down * y[:, None]
    remains = flat.square().sum((1, 2, 3), keepdim=True) >= LEAST * whole.square().sum((1, 2, 3), keepdim=True)
    return torch.where(remains, flat, whole)


def _axis(n: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Positions of n pixels about their middle, in units of the side, and Hann weights that sum to 1."""
    x = (torch.arange(n, device=like.device, dtype=like.dtype) - (n - 1) / 2) / n
    weight = torch.cos(torch.pi * x).square()
    return x, weight / weight.sum()
