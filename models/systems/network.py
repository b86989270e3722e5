"""A network of one part: a representation, a backbone, a head with the answers to all questions of the part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from ...hierarchy import CompiledTree
from ...hierarchy.compiled import heights
from ..routing.router import soft

Questions = Literal["flat", "root", "levels", "nodes"]
QUESTIONS: tuple[str, ...] = get_args(Questions)


@dataclass(frozen=True)
class Part:
    """What one network is asked: Q questions of ``sizes`` choices each, and the answers.

    `answers` (L, Q) int64: the right choice for each label of a tree, -1 where the question does not arise. `heights`
    (L, L) as `hierarchy.compiled.heights`, where the question is for the label itself.
    """

    name: str
    nodes: tuple[str, ...]
    sizes: tuple[int, ...]
    answers: Tensor
    heights: Tensor | None = None

    def targets(self, labels: Tensor) -> Tensor:
        """Right answers (B, Q) to images with `labels` (B,)."""
        return self.answers[labels]


def parts_of(questions: Questions, plan: CompiledTree) -> list[Part]:
    """The networks that a kind of question needs: flat one of all labels, root one, one for each level or node."""
    if questions == "flat":
        count = len(plan.labels)
        return [
            Part("all groups", ("all groups",), (count,), torch.arange(count)[:, None], torch.from_numpy(heights(plan)))
        ]
    groups = {"root": [[0]], "nodes": [[n] for n in range(len(plan.nodes))]}
    groups["levels"] = [list(np.flatnonzero(plan.level_of_node == k)) for k in range(len(plan.levels))]
    names = {"root": [plan.nodes[0]], "nodes": plan.nodes, "levels": plan.levels}[questions]
    sizes = np.diff(plan.offsets)
    return [
        Part(
            name, tuple(plan.nodes[n] for n in nodes), tuple(int(sizes[n]) for n in nodes),
            torch.from_numpy(plan.answers[nodes].T.astype(np.int64)),
        )
        for name, nodes in zip(names, groups[questions], strict=True)
    ]  # fmt: skip


def assembled(
    questions: Questions, plan: CompiledTree, parts: Mapping[str, Part], outputs: Mapping[str, Tensor]
) -> Tensor:
    """One answer (B, L) from the logits (B, E) of all parts, as log-probabilities; (B, k) of the root's choices."""
    nodes: dict[str, Tensor] = {}
    for name, part in parts.items():
        logits = torch.split(outputs[name].float(), list(part.sizes), 1)
        nodes |= dict(zip(part.nodes, (x.log_softmax(1) for x in logits), strict=True))
    if questions in ("flat", "root"):
        (answer,) = nodes.values()
        return answer
    return soft(plan, nodes)


class Network(nn.Module):
    """Images (B, C, H, W) in [0, 1] to logits (B, E) of all questions of `part`, side by side."""

    def __init__(self, represent: nn.Module, backbone: nn.Module, width: int, part: Part) -> None:
        super().__init__()
        self.represent, self.backbone, self.part, self.width = represent, backbone, part, width
        self.head = nn.Linear(width, sum(part.sizes))

    def features(self, images: Tensor) -> Tensor:
        """(B, width). The representation always has full precision, whatever that of the backbone."""
        with torch.autocast(images.device.type, enabled=False):
            seen = self.represent(images.float())
        features: Tensor = self.backbone(seen)
        return features

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        logits: Tensor = self.head(self.features(images))
        return logits
