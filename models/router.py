"""The ensemble router: from what every node says to one answer over all labels.

Parse (a tree), plan (`CompiledTree`), apply (the functions here). Input is ``{node: (B, k)
log-probabilities}``, k in the order of the node's choices; output is (B, L) log-probabilities in the order of
the tree's labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor

from ..hierarchy import CompiledTree

Router = Literal["soft", "hard"]
ROUTERS: tuple[str, ...] = get_args(Router)


def edges(plan: CompiledTree, nodes: Mapping[str, Tensor]) -> Tensor:
    """All nodes' log-probabilities side by side: (B, E), E edges as in `CompiledTree`.

    ValueError when a node is missing or has another number of choices than the tree.
    """
    missing = [name for name in plan.nodes if name not in nodes]
    if missing:
        raise ValueError(f"nodes {missing} of the tree have no output; given: {sorted(nodes)}")
    for i, name in enumerate(plan.nodes):
        want = int(plan.offsets[i + 1] - plan.offsets[i])
        if nodes[name].shape[-1] != want:
            shape = tuple(nodes[name].shape)
            raise ValueError(f"node {name!r} has {want} choices in the tree, its output has shape {shape}")
    return torch.cat([nodes[name] for name in plan.nodes], -1)


def soft(plan: CompiledTree, nodes: Mapping[str, Tensor]) -> Tensor:
    """log P(label) = sum of the log-probabilities along its path: the chain rule, exact and normalised.

    >>> import torch
    >>> from hier.hierarchy import compile_tree, load_tree
    >>> plan = compile_tree(load_tree("wallpaper"))
    >>> choices = dict(zip(plan.nodes, (plan.offsets[1:] - plan.offsets[:-1]).tolist()))
    >>> even = {name: torch.zeros(1, k).log_softmax(-1) for name, k in choices.items()}
    >>> round(float(soft(plan, even).exp().sum()), 6)
    1.0
    """
    logp = edges(plan, nodes)
    padded = torch.cat([logp, logp.new_zeros(*logp.shape[:-1], 1)], -1)
    return padded[..., torch.tensor(plan.leaf_edges, device=logp.device)].sum(-1)


def hard(plan: CompiledTree, nodes: Mapping[str, Tensor]) -> Tensor:
    """Follow the likeliest choice from the root down; all probability goes to the label reached."""
    logp = edges(plan, nodes)
    offsets = torch.tensor(plan.offsets, device=logp.device)
    target = torch.tensor(plan.edge_target, device=logp.device)
    best = torch.stack([nodes[name].argmax(-1) for name in plan.nodes], -1)
    at = torch.zeros(len(logp), dtype=torch.long, device=logp.device)
    for _ in range(plan.leaf_edges.shape[1]):
        inner = at.clamp_min(0)
        chosen = target[offsets[inner] + best.gather(1, inner[:, None])[:, 0]]
        at = torch.where(at >= 0, chosen, at)
    out = logp.new_full((len(logp), len(plan.labels)), -torch.inf)
    return out.scatter(1, (-1 - at)[:, None], 0.0)


def route(plan: CompiledTree, nodes: Mapping[str, Tensor], router: Router = "soft") -> Tensor:
    """(B, L) log-probabilities by the router of that name."""
    match router:
        case "soft":
            return soft(plan, nodes)
        case "hard":
            return hard(plan, nodes)
    raise ValueError(f"no router {router!r}; there are {', '.join(ROUTERS)}")
