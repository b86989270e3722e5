"""Feature pyramid: what a backbone sees at every scale, each enriched from the coarser one.

Lin, Dollar, Girshick, He, Hariharan and Belongie, "Feature pyramid networks for object detection", CVPR 2017.
"""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork  # type: ignore[import-untyped, unused-ignore]

WIDTH = 128  # channels of every level of the pyramid


class PyramidNet(nn.Module):
    """A timm backbone with a pyramid on its last four scales, their means side by side: (B, C, H, W) to (B, D)."""

    def __init__(self, channels: int, name: str, pretrained: bool = False) -> None:
        super().__init__()
        backbone: Any = timm.create_model(name, pretrained=pretrained, features_only=True, in_chans=channels)
        self.backbone: nn.Module = backbone
        self.pyramid = FeaturePyramidNetwork(backbone.feature_info.channels()[-4:], WIDTH)

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, D)."""
        levels = {str(k): x for k, x in enumerate(self.backbone(images)[-4:])}
        return torch.cat([x.mean((2, 3)) for x in self.pyramid(levels).values()], 1)
