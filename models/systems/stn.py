"""Spatial transformer: a small network looks at the image and chooses the affine map under which it is read.

Jaderberg, Simonyan, Zisserman and Kavukcuoglu, "Spatial transformer networks", NeurIPS 2015.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SpatialTransformer(nn.Module):
    """Images (B, C, H, W) to images of the same shape, read under an affine map of their own; the identity at first."""

    def __init__(self, channels: int, width: int = 16) -> None:
        super().__init__()
        self.localise = nn.Sequential(
            nn.AvgPool2d(2), nn.Conv2d(channels, width, 5, padding=2), nn.BatchNorm2d(width), nn.ReLU(),
            nn.AvgPool2d(2), nn.Conv2d(width, width, 5, padding=2), nn.BatchNorm2d(width), nn.ReLU(),
            nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16 * width, 32), nn.ReLU(),
        )  # fmt: skip
        self.affine = nn.Linear(32, 6)
        nn.init.zeros_(self.affine.weight)
        self.affine.bias.data = torch.tensor([1.0, 0, 0, 0, 1, 0])

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        matrix = self.affine(self.localise(images)).reshape(-1, 2, 3)
        grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
