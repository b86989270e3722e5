"""Losses: modules that lead a network through one batch and return what to minimise, with the logits.

A loss is called as ``loss(network, images, targets)`` with images (B, C, H, W) and targets (B, Q), one column for
each question of the network's part, -1 where an image has no answer. It returns a number and logits (B, E).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from .network import Network
from .reparam import adapted

TEMPERATURE = 0.1  # of the contrastive loss
PROJECTION = 64  # width in which images are contrasted
INNER_RATE = 0.1  # learning rate of the inner step


def answer_loss(network: Network, logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy summed over the questions, averaged over the images: the mean of (B,) losses."""
    total = logits.new_zeros(())
    for k, part in enumerate(torch.split(logits, list(network.part.sizes), 1)):
        total = total + F.cross_entropy(part.float(), targets[:, k], ignore_index=-1, reduction="sum")
    return total / len(logits)


class CrossEntropy(nn.Module):
    """The usual: cross-entropy of every question."""

    def __init__(self, width: int) -> None:
        super().__init__()

    def forward(self, network: Network, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """See the module."""
        logits = network(images)
        return answer_loss(network, logits, targets), logits


def supervised_contrastive(features: Tensor, labels: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """L_out of Khosla et al., "Supervised contrastive learning", NeurIPS 2020, equation 2.

    `features` (M, D) of unit length and `labels` (M,): images of one label attract, all others repel. Images alone
    in their label are left out.
    """
    M = len(features)
    self_ = torch.eye(M, dtype=torch.bool, device=features.device)
    similarity = (features @ features.T / temperature).masked_fill(self_, -torch.inf)
    logp = similarity - similarity.logsumexp(1, keepdim=True)
    positive = (labels[:, None] == labels) & ~self_
    count = positive.sum(1)
    each = -torch.where(positive, logp, 0.0).sum(1) / count.clamp_min(1)
    return each[count > 0].mean() if bool((count > 0).any()) else features.sum() * 0


class Contrastive(nn.Module):
    """Supervised contrastive loss on two views of each image, through a projection head that is thrown away.

    The classifier on top learns at the same time from the features without influence on them, which stands for the
    second stage of Khosla et al.: the features are shaped by the contrast alone.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, PROJECTION))

    def forward(self, network: Network, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """See the module. ValueError for a part of several questions, where an image has no single label."""
        if targets.shape[1] != 1:
            raise ValueError(f"the contrastive loss needs one label for an image, not {targets.shape[1]} questions")
        features = network.features(torch.cat([view(images), view(images)]))
        unit = F.normalize(self.project(features).float(), dim=1)
        contrast = supervised_contrastive(unit, targets[:, 0].repeat(2))
        logits = network.head(features[: len(images)].detach())
        return contrast + answer_loss(network, logits, targets), logits


def view(images: Tensor) -> Tensor:
    """A random view that keeps the group: quarter turn, mirror, other brightness, contrast and order of colours."""
    images = torch.rot90(images, int(torch.randint(4, ())), (2, 3))
    images = images.flip(3) if torch.rand(()) < 0.5 else images
    gain, offset = (torch.rand(2, len(images), 1, 1, 1) - 0.5).to(images)
    images = images[:, torch.randperm(images.shape[1], device=images.device)]
    seen: Tensor = ((images - 0.5) * (1 + gain) + 0.5 + 0.4 * offset).clamp(0, 1)
    return seen


class Meta(nn.Module):
    """Learn parameter sharing: see `reparam`. Half of the batch is the task, half what is asked of the adapted net.

    The task's own loss counts, too, since the network is later used with filters that were not adapted.
    """

    def __init__(self, width: int) -> None:
        super().__init__()

    def forward(self, network: Network, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """See the module. ValueError for a network without shared parameters."""
        half = max(1, len(images) // 2)
        inner = network(images[:half])
        task = answer_loss(network, inner, targets[:half])
        parameters = adapted(network, task, INNER_RATE)
        outer = functional_call(network, parameters, (images[half:],))
        after = answer_loss(network, outer, targets[half:])
        return (task + after) / 2, torch.cat([inner, outer])
