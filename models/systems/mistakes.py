"""Losses that know the tree: a wrong answer that is near the truth costs less.

Bertinetto, Mueller, Tertikas, Samangooei and Lord, "Making better mistakes: leveraging class hierarchies with deep
networks", CVPR 2020. Both are for networks that answer with a label of the tree, not with the choice at a node.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from .network import Network

SOFTNESS = 10.0  # beta of their equation 7; not tuned
DECAY = 0.4  # alpha of their equation 3; not tuned


def heights_of(network: Network) -> Tensor:
    """Steps (L, L) from each label up to what it has in common with another; ValueError for other questions."""
    if network.part.heights is None:
        raise ValueError(f"this loss needs the labels of a tree, not the choices at {network.part.name!r}")
    return network.part.heights


def soft_labels(logits: Tensor, targets: Tensor, heights: Tensor, softness: float = SOFTNESS) -> Tensor:
    """Their equation 7: cross-entropy (B,) with labels that fall off with the height, 1 for the root's.

    `logits` (B, L), `targets` (B,), `heights` (L, L) from the truth, by rows.
    """
    wanted = (-softness * heights[targets] / heights.max()).softmax(1)
    return -(wanted * logits.float().log_softmax(1)).sum(1)


def hierarchical_cross_entropy(logits: Tensor, targets: Tensor, heights: Tensor, decay: float = DECAY) -> Tensor:
    """Their equation 3: (B,) sums over the truth's ancestors of -log p(C | parent of C), times exp(-decay height(C)).

    Arguments as of `soft_labels`. With ``decay=0`` the sum is the cross-entropy.
    """
    logp, apart = logits.float().log_softmax(1), heights[targets]
    below = [
        logp.masked_fill(apart > height, -torch.inf).logsumexp(1) for height in range(int(heights.max()) + 1)
    ]  # (B,) each: of all labels that far from the truth, the last one of all labels
    loss = torch.zeros_like(below[0])
    for height, (own, parent) in enumerate(pairwise(below)):
        loss = loss + torch.exp(torch.tensor(-decay * height)) * (parent - own)
    return loss


class TreeLoss(nn.Module):
    """A loss of `losses`: the mean over the images of what `each` gives for logits, targets and heights."""

    def __init__(self, width: int) -> None:
        super().__init__()

    @staticmethod
    def each(logits: Tensor, targets: Tensor, heights: Tensor) -> Tensor:
        """(B,)."""
        raise NotImplementedError

    def forward(self, network: Network, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """See `losses`."""
        logits = network(images)
        return self.each(logits, targets[:, 0], heights_of(network).to(logits.device)).mean(), logits


class SoftLabels(TreeLoss):
    """`soft_labels`."""

    each = staticmethod(soft_labels)


class HierarchicalCrossEntropy(TreeLoss):
    """`hierarchical_cross_entropy`."""

    each = staticmethod(hierarchical_cross_entropy)
