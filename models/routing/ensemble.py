"""Several models of one node: their mean, and how much they disagree.

Lakshminarayanan, Pritzel and Blundell, "Simple and Scalable Predictive Uncertainty Estimation using Deep
Ensembles", NeurIPS 2017.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log

import torch
from torch import Tensor

from ...arrays import finest
from ...hierarchy import CompiledTree


def average(members: Tensor) -> Tensor:
    """Logarithm of the mean probability: (M, B, k) to (B, k)."""
    return members[0] if len(members) == 1 else members.logsumexp(0) - log(len(members))


def divergence(members: Tensor) -> Tensor:
    """Jensen-Shannon divergence of M models (M, B, k) in nats, (B,): 0 when they agree, log(M) at most.

    It is the mutual information of the answer and the choice of the model.
    """
    members = members.to(finest(members.device))
    spread = _entropy(average(members)) - _entropy(members).mean(0)
    return spread.clamp_min(0)


def disagreement(plan: CompiledTree, members: Mapping[str, Tensor]) -> Tensor:
    """Divergence at every node, weighed by the probability of reaching it: (B,) nats.

    By the chain rule of entropy it is the mutual information of the label and the choice of a model at each
    node, chosen independently. Nodes may have different numbers of models.
    """
    total = None
    root = members[plan.nodes[0]]
    reach = {plan.nodes[0]: torch.ones(1, dtype=finest(root.device), device=root.device)}
    for n, name in enumerate(plan.nodes):  # breadth first: a node's parent comes before it
        part = reach[name] * divergence(members[name])
        total = part if total is None else total + part
        p = average(members[name].to(finest(members[name].device))).exp()
        for choice, target in enumerate(plan.edge_target[plan.offsets[n] : plan.offsets[n + 1]]):
            if target >= 0:
                reach[plan.nodes[target]] = reach[name] * p[:, choice]
    assert total is not None  # a tree has a root
    return total


def _entropy(logp: Tensor) -> Tensor:
    entropy: Tensor = torch.special.entr(logp.exp()).sum(-1)
    return entropy
