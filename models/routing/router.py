"""The ensemble router: from every node's output to one answer over all labels.

Parse (a tree), plan (`CompiledTree`), apply (the functions here). Input is ``{node: (B, k) log-probabilities}``,
k in the order of the node's choices; output is (B, L) log-probabilities in the order of the tree's labels.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ...hierarchy import CompiledTree
from .calibration import temper
from .cost import cheapest, cost_matrix
from .mixture import Fitted, features, mix
from .names import ROUTERS as ROUTERS
from .names import Router as Router

FLAT = "flat"  # the node outside the tree that predicts all labels at once; its output stands beside the nodes'
NEED_FLAT = ("blend", "flat")


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
    """Follow the likeliest choice from the root down; all probability goes to the label reached.

    Rows of nodes that an image does not reach are not looked at.
    """
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


def beam(plan: CompiledTree, nodes: Mapping[str, Tensor], width: int) -> Tensor:
    """Keep the `width` likeliest paths at every step down; their probabilities are made to sum to one.

    Width 1 answers as `hard`, a width of as many paths as there are labels as `soft`.
    """
    if width < 1:
        raise ValueError(f"a beam of width {width} keeps no path: give 1 or more")
    logp = edges(plan, nodes)
    inner, labels = len(plan.nodes), len(plan.labels)
    leaf = torch.tensor(plan.edge_target < 0, device=logp.device)
    column = torch.tensor(plan.edge_target, device=logp.device)
    column = torch.where(leaf, inner - 1 - column, column)  # states: the inner nodes, then the labels
    source = torch.tensor(plan.edge_node, device=logp.device)
    state = logp.new_full((len(logp), inner + labels), -torch.inf)
    state[:, 0] = 0
    for _ in range(plan.leaf_edges.shape[1]):
        step = state.index_fill(1, torch.arange(inner, device=logp.device), -torch.inf)
        reached = state[:, source] + logp
        step[:, column] = torch.maximum(step[:, column], reached)  # an edge is the only way to its end
        best = step.topk(min(width, inner + labels), 1)
        state = torch.full_like(step, -torch.inf).scatter(1, best.indices, best.values)
    return state[:, inner:].log_softmax(1)


def route(
    plan: CompiledTree, nodes: Mapping[str, Tensor], router: Router = "soft", fitted: Fitted | None = None
) -> Tensor:
    """(B, L) log-probabilities by the router of that name.

    ``bayes`` and ``climb`` have those of ``soft``: they differ in what is answered, see `winners` and `partial`.
    ``blend`` and ``flat`` read the flat head's output (B, L) in ``nodes["flat"]``. ValueError for an unknown router
    and for one whose flat head or fit is missing.
    """
    if router not in ROUTERS:
        raise ValueError(f"unknown router {router!r}; known: {', '.join(ROUTERS)}")
    fitted = fitted or Fitted()
    if router in NEED_FLAT and FLAT not in nodes:
        raise ValueError(f"router {router!r} needs the output of a flat head under {FLAT!r}; given: {sorted(nodes)}")
    match router:
        case "soft" | "bayes" | "climb":
            return temper(soft(plan, nodes), fitted.temperature)
        case "hard":
            return hard(plan, nodes)
        case "beam":
            return temper(beam(plan, nodes, fitted.width), fitted.temperature)
        case "blend":
            return mix(temper(soft(plan, nodes), fitted.temperature), nodes[FLAT], fitted.weight, fitted.how)
        case "stack":
            if fitted.stack is None:
                raise ValueError("router 'stack' is not fitted yet")
            return fitted.stack(features(edges(plan, nodes), nodes.get(FLAT)))
        case "flat":
            return nodes[FLAT]


def winners(plan: CompiledTree, logp: Tensor, router: Router = "soft") -> Tensor:
    """Index of the label to answer for every row of (B, L): the likeliest, under ``bayes`` the least costly."""
    if router == "bayes":
        return cheapest(logp, torch.from_numpy(cost_matrix(plan)).to(logp))
    return logp.argmax(1)


def conditionals(plan: CompiledTree, logp: Tensor) -> dict[str, Tensor]:
    """The nodes' log-probabilities that a distribution over labels (B, L) implies: what `soft` undoes.

    NaN at nodes that the distribution does not reach at all.
    """
    below = torch.tensor(plan.membership, device=logp.device)
    mass = logp[:, :, None].masked_fill(~below, -torch.inf).logsumexp(1)
    ends = zip(plan.nodes, plan.offsets, plan.offsets[1:], strict=False)
    return {name: (part := mass[:, a:b]) - part.logsumexp(1, keepdim=True) for name, a, b in ends}
