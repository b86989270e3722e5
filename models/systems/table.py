"""What systems are made of: a line for every representation, backbone and loss.

To add one, write a function or module and give it a line here; `docs/extending.md` shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import timm
import torch
from torch import nn

from ...hierarchy import HierError, UnknownNameError
from .fpn import PyramidNet
from .group_conv import GroupNet
from .harmonic import HarmonicNet
from .losses import Contrastive, CrossEntropy, Meta
from .mistakes import HierarchicalCrossEntropy, SoftLabels
from .network import Network, Part, Questions
from .reparam import SharedNet
from .spectra import LogSpectrum, Radon
from .stn import SpatialTransformer
from .symmetry_filter import CentredFilter, SymmetryFilter

MAPS = "symmetry maps"  # computed once, before training, and not by a module
BUNDLED = "bundled model"  # answers as it is


@dataclass(frozen=True)
class Sizes:
    """How large networks are built: images of `side` px, `width` channels in small networks, timm names by role."""

    side: int = 256
    width: int = 64
    networks: Mapping[str, str] = field(default_factory=dict)
    pretrained: bool = False


@dataclass(frozen=True)
class System:
    """One row of the comparison.

    `backbone` is a line of `BACKBONES`, a role in ``Sizes.networks``, or any name of timm's; `questions` what its
    networks are asked, of `tree` or the comparison's own; `centred`: it sees windows about hand-picked centres. With
    `local`, logistic regressions of HiClass, one for each parent node or level of the tree, read the features of the
    network that the row `of` trains, or the numbers beside the symmetry maps.
    """

    route: str
    about: str
    representation: str = "pixels"
    backbone: str = "small"
    loss: str = "cross-entropy"
    questions: Questions = "flat"
    tree: str | None = None
    centred: bool = False
    local: Literal["", "parent", "level"] = ""
    of: str = ""


def centred_side(side: int) -> int:
    """Px of the windows about hand-picked centres, in images of `side` px."""
    return 2 * (side // 6) + 1


REPRESENTATIONS: dict[str, Callable[[Sizes], nn.Module]] = {
    "pixels": lambda sizes: nn.Identity(),
    "fft": lambda sizes: LogSpectrum(),
    "radon": lambda sizes: Radon(sizes.side),
    "filter": lambda sizes: SymmetryFilter(3, 2 * (sizes.side // 12) + 1, stride=2),
    "filter at centres": lambda sizes: CentredFilter(3, centred_side(sizes.side), draws=4, axes=6),
    "spatial transformer": lambda sizes: SpatialTransformer(3),
}

BACKBONES: dict[str, Callable[[int, Sizes], nn.Module]] = {
    "pyramid": lambda channels, sizes: PyramidNet(channels, sizes.networks["pyramid"], sizes.pretrained),
    "dense": lambda channels, sizes: nn.Sequential(nn.Flatten(), nn.Linear(channels, 64), nn.ReLU()),
    "group 4": lambda channels, sizes: GroupNet(channels, sizes.width, 4),
    "group 6": lambda channels, sizes: GroupNet(channels, sizes.width, 6),
    "group 8": lambda channels, sizes: GroupNet(channels, sizes.width, 8),
    "group 12": lambda channels, sizes: GroupNet(channels, sizes.width, 12),
    "group 4 mirror": lambda channels, sizes: GroupNet(channels, sizes.width, 4, mirror=True),
    "group 12 mirror": lambda channels, sizes: GroupNet(channels, sizes.width, 12, mirror=True),
    "harmonic": lambda channels, sizes: HarmonicNet(channels, sizes.width),
    "shared": lambda channels, sizes: SharedNet(channels, sizes.width),
}

LOSSES: dict[str, Callable[[int], nn.Module]] = {
    "cross-entropy": CrossEntropy,
    "contrastive": Contrastive,
    "meta": Meta,
    "soft labels": SoftLabels,
    "hierarchical": HierarchicalCrossEntropy,
}


def build(system: System, sizes: Sizes, part: Part) -> Network:
    """The network of one part of a system. Raises HierError when its pieces do not fit each other."""
    represent = REPRESENTATIONS[system.representation](sizes).eval()
    side = centred_side(sizes.side) if system.centred else sizes.side
    with torch.no_grad():
        seen = represent(torch.rand(2, 3, side, side))
        try:
            backbone = _backbone(system.backbone, seen.shape[1], sizes).eval()
            features = backbone(seen)
        except (RuntimeError, AssertionError, ValueError) as error:
            raise HierError(
                f"backbone {system.backbone!r} does not work on {tuple(seen.shape[1:])} of {system.representation!r}: "
                f"{str(error).splitlines()[0]}; try larger images or another network"
            ) from error
    if features.ndim != 2:
        raise HierError(f"backbone {system.backbone!r} gives features of shape {tuple(features.shape)}, not (B, width)")
    return Network(represent, backbone, int(features.shape[1]), part).train()


def _backbone(name: str, channels: int, sizes: Sizes) -> nn.Module:
    if name in BACKBONES:
        return BACKBONES[name](channels, sizes)
    name = timm_name(name, sizes)
    if not timm.is_model(name):
        raise UnknownNameError("timm model", name, timm.list_models())
    made: nn.Module = timm.create_model(name, pretrained=sizes.pretrained, in_chans=channels, num_classes=0)
    return made


def timm_name(backbone: str, sizes: Sizes) -> str:
    """What stands in the table's column of networks: timm's name behind a role."""
    return sizes.networks.get(backbone, backbone)
