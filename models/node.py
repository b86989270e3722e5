"""A node classifier: symmetry evidence, a timm backbone, a head with one output for each choice of the node."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..hierarchy import HierError
from .evidence.representation import EVIDENCE, MAP_CHANNELS, SIDE
from .lcnet import FEATURES, WIDTHS, LCNet

BACKBONE = "lcnet_050"
CHANNELS = MAP_CHANNELS + EVIDENCE
HIDDEN = 128  # units of the head between features and choices
SIDES = (SIDE, 32, 64, 224)  # px at which a backbone may read the maps, first that works


class BackboneError(HierError):
    """A backbone that timm does not know, or that cannot work on the evidence."""


@dataclass(frozen=True)
class NodeSettings:
    """What a node classifier is made of: enough to build it again before its weights are read.

    `side` is the size in px at which the backbone reads the maps (they are enlarged to it); None finds the
    smallest that it can work on. `below` is the choice, as an index, that each output of the head counts for: a choice
    is as likely as all of them together. Without it each choice has one output.
    """

    choices: tuple[str, ...]
    backbone: str = BACKBONE
    side: int | None = None
    below: tuple[int, ...] = ()


class NodeClassifier(nn.Module):
    """`Evidence` of a batch to logits (B, k), k the number of choices.

    The backbone reads an image of `CHANNELS` channels: the symmetry maps, and every number of the evidence as
    a constant plane.

    Parameters
    ----------
    settings : the backbone's timm name and the choices.
    pretrained : start from timm's weights (the first layer is adapted to the channels), which are downloaded.
        BackboneError when they are not available.
    filled : weights are read into it next, so that it need not be timm that builds the backbone.
    """

    def __init__(self, settings: NodeSettings, pretrained: bool = False, filled: bool = False) -> None:
        super().__init__()
        if filled and settings.backbone in WIDTHS and settings.side == SIDE:
            self.backbone: nn.Module = LCNet(settings.backbone, CHANNELS)
            side, width = SIDE, FEATURES
        else:
            self.backbone = _backbone(settings.backbone, pretrained)
            side, width = _fit(self.backbone, settings)
        self.settings = replace(settings, side=side)
        self.side = side
        self.other: Tensor
        self.inner = nn.Linear(width + EVIDENCE, HIDDEN)
        self.told = nn.Linear(2, HIDDEN, bias=False)
        below = torch.tensor(settings.below or range(len(settings.choices)))
        self.head = nn.Sequential(
            nn.ReLU(), nn.Linear(HIDDEN, HIDDEN // 2), nn.ReLU(), nn.Linear(HIDDEN // 2, len(below))
        )
        other = below != torch.arange(len(settings.choices))[:, None]
        self.register_buffer("other", other, persistent=False)

    def forward(self, maps: Tensor, numbers: Tensor, tolerance: Tensor | None = None) -> Tensor:
        """Logits from ``maps`` (B, MAP_CHANNELS, SIDE, SIDE) and ``numbers`` (B, EVIDENCE).

        ``tolerance`` (B,) in (0, 1) is the misfit up to which an operation is to count as a symmetry; NaN, and all of
        them without one, leaves that to the node.
        """
        return self.decide(self.see(maps, numbers), tolerance)

    def see(self, maps: Tensor, numbers: Tensor) -> Tensor:
        """What is made of the evidence whatever the tolerance: (B, HIDDEN)."""
        planes = numbers[:, :, None, None].expand(-1, -1, *maps.shape[-2:])
        image = torch.cat([maps, planes], 1)
        if self.side != image.shape[-1]:
            image = F.interpolate(image, size=self.side, mode="nearest")
        seen: Tensor = self.inner(torch.cat([self.backbone(image), numbers], 1))
        return seen

    def decide(self, seen: Tensor, tolerance: Tensor | None = None) -> Tensor:
        """Logits (B, k) from what `see` returns, as `forward`. Tolerances (T, 1) give (T, B, k)."""
        asked = seen.new_full(seen.shape[:1], torch.nan) if tolerance is None else tolerance.to(seen)
        told = torch.stack([(-torch.log10(asked) / 3).nan_to_num(0.0), asked.isfinite().to(seen)], -1)
        logits: Tensor = self.head(seen + self.told(told))
        if not self.settings.below:
            return logits
        return logits[..., None, :].masked_fill(self.other, -torch.inf).logsumexp(-1)

    @torch.inference_mode()
    def log_probabilities(self, maps: Tensor, numbers: Tensor, tolerance: Tensor | None = None) -> Tensor:
        """(B, k), evaluation mode is the caller's."""
        logits: Tensor = self(maps, numbers, tolerance)
        return logits.log_softmax(1)

    def for_choices(self, choices: tuple[str, ...], of_output: Sequence[int] | None = None) -> NodeClassifier:
        """A copy with the weights of this one for other `choices`: what is fine-tuned.

        `of_output` is the choice, as an index, that each output of this one falls under, -1 for none: the copy then
        begins as this one, asked which of `choices` it is. Without it the last weights are fresh.
        """
        kept = [k for k, choice in enumerate(of_output or ()) if choice >= 0]
        below = tuple(choice for choice in of_output or () if choice >= 0)
        other = NodeClassifier(replace(self.settings, choices=choices, below=below))
        last = f"head.{len(self.head) - 1}."
        weights = {k: v for k, v in self.state_dict().items() if not k.startswith(last)}
        if below:
            weights |= {k: v[kept] for k, v in self.state_dict().items() if k.startswith(last)}
        other.load_state_dict(weights, strict=False)
        return other.to(next(self.parameters()).device)


def _backbone(name: str, pretrained: bool) -> nn.Module:
    import timm  # not needed for what is read from the disk

    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), 4, 0.5)
        hint = f"; similar names: {', '.join(near)}" if near else ""
        raise BackboneError(f"timm has no backbone {name!r}{hint}. `timm.list_models()` lists them all")
    try:
        made: nn.Module = timm.create_model(name, pretrained=pretrained, in_chans=CHANNELS, num_classes=0)
    except (OSError, RuntimeError, ValueError, TypeError) as error:
        if not pretrained:
            raise BackboneError(f"backbone {name!r} cannot be built for {CHANNELS} channels: {error}") from error
        _backbone(name, False)  # if this fails too, missing weights are not the cause
        raise BackboneError(
            f"the pretrained weights of {name!r} are not available: {' '.join(str(error).split())[:200]}. "
            "timm downloads them: connect to the network, choose a backbone that has them, or start from random weights"
        ) from error
    return made


def _fit(backbone: nn.Module, settings: NodeSettings) -> tuple[int, int]:
    """The side at which `backbone` reads the maps, and the width of its features."""
    problem = ""
    backbone.eval()
    for side in (settings.side,) if settings.side else SIDES:
        try:
            with torch.inference_mode():
                features = backbone(torch.zeros(1, CHANNELS, side, side))
        except (RuntimeError, AssertionError, ValueError) as error:
            problem = str(error).splitlines()[0]
            continue
        if features.ndim == 2:
            backbone.train()
            return side, int(features.shape[1])
        problem = f"features of shape {tuple(features.shape)}, (1, width) is needed"
    raise BackboneError(
        f"backbone {settings.backbone!r} does not work on maps of {SIDES} px: {problem}; choose another"
    )
