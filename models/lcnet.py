"""PP-LCNet without a classifier, in the names that timm gives to its weights.

The bundled model is made of these, and to import timm, with all of torchvision, takes longer than an answer. Only
weights that are there are read into it; trainings begin with timm's, which draws first weights in its own way.

C. Cui et al., "PP-LCNet: A Lightweight CPU Convolutional Neural Network", arXiv 2109.15099 (2021).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = {"lcnet_035": 0.35, "lcnet_050": 0.5, "lcnet_075": 0.75, "lcnet_100": 1.0, "lcnet_150": 1.5}
STEM, FEATURES = 16, 1280  # channels
# for each stage its blocks: kernel in px, stride, channels; only the last stage squeezes
STAGES = (
    ((3, 1, 32),),
    ((3, 2, 64), (3, 1, 64)),
    ((3, 2, 128), (3, 1, 128)),
    ((3, 2, 256), (5, 1, 256)),
    ((5, 1, 256),) * 4,
    ((5, 2, 512), (5, 1, 512)),
)


class LCNet(nn.Module):
    """Images (B, channels, H, W) to features (B, FEATURES), by the network of that name in timm."""

    def __init__(self, name: str, channels: int) -> None:
        super().__init__()
        width, last = WIDTHS[name], len(STAGES) - 1
        before = _rounded(STEM * width)
        self.conv_stem = nn.Conv2d(channels, before, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(before)
        stages = []
        for k, stage in enumerate(STAGES):
            blocks = []
            for kernel, stride, of in stage:
                after = _rounded(of * width)
                blocks.append(_Separable(before, after, kernel, stride, squeeze=k == last))
                before = after
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*stages)
        self.conv_head = nn.Conv2d(before, FEATURES, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, FEATURES) of images."""
        x = self.blocks(F.hardswish(self.bn1(self.conv_stem(x))))
        return F.hardswish(self.conv_head(x.mean((2, 3), keepdim=True))).flatten(1)


class _Separable(nn.Module):
    """A convolution of each channel by itself, then one across channels at each pixel."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, squeeze: bool) -> None:
        super().__init__()
        self.conv_dw = nn.Conv2d(before, before, kernel, stride, kernel // 2, groups=before, bias=False)
        self.bn1 = nn.BatchNorm2d(before)
        self.se = _Squeeze(before) if squeeze else nn.Identity()
        self.conv_pw = nn.Conv2d(before, after, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)

    def forward(self, x: Tensor) -> Tensor:
        x = self.se(F.hardswish(self.bn1(self.conv_dw(x))))
        return F.hardswish(self.bn2(self.conv_pw(x)))


class _Squeeze(nn.Module):
    """Each channel weighed by what the means of all channels say (Hu et al., CVPR 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = round(channels / 4)
        self.conv_reduce = nn.Conv2d(channels, inner, 1)
        self.conv_expand = nn.Conv2d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        told = self.conv_expand(F.relu(self.conv_reduce(x.mean((2, 3), keepdim=True))))
        return x * F.hardsigmoid(told)


def _rounded(channels: float, step: int = 8) -> int:
    """The multiple of `step` next to `channels`, but no less than 0.9 of it."""
    near = max(step, int(channels + step / 2) // step * step)
    return near + step if near < 0.9 * channels else near
