"""A tree as arrays: what a predictor needs, with nothing left to walk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .tree import Tree

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class CompiledTree:
    """N inner nodes, E edges (one for each choice of each node), L labels; read-only arrays.

    The edges of a node are contiguous and in the order of its choices, so ``offsets[n]:offsets[n + 1]`` are
    the outputs of node n in a vector of all nodes' outputs. With ``edge_logp`` (B, E) the log-probability of
    every choice given its node (a log-softmax within each node's slice)::

        log_p_leaf = edge_logp @ membership.T                                   # (B, L)
        log_p_leaf = np.append(edge_logp, 0)[..., leaf_edges].sum(-1)           # the same, one image

    The second form reads -1 as the appended zero and suits log-probabilities of minus infinity, for which
    ``0 * -inf`` would be NaN. Leaf probabilities sum to one because every node's do.
    """

    nodes: tuple[str, ...]
    """(N,) names, breadth first."""
    labels: tuple[str, ...]
    """(L,) leaf labels, as `Tree.labels`."""
    levels: tuple[str, ...]
    """Level names, as `Tree.levels`."""
    offsets: Ints
    """(N + 1,) first edge of each node; the last entry is E."""
    edge_node: Ints
    """(E,) node that the edge leaves."""
    edge_choice: Ints
    """(E,) index of the choice at that node."""
    edge_target: Ints
    """(E,) node that the edge leads to, or ``-1 - label`` for a leaf."""
    membership: NDArray[np.bool_]
    """(L, E) whether the edge lies on the label's path."""
    leaf_edges: Ints
    """(L, D) edges of each label's path from the root, padded with -1."""
    answers: NDArray[np.int8]
    """(N, L) index of the choice that leads to the label, -1 where it does not lie below the node."""
    level_of_node: Ints
    """(N,) index into `levels`."""

    def choices_at(self, node: str) -> Ints:
        """(L,) index of the choice at `node` that leads to each label, -1 where none does."""
        found: Ints = self.answers[self.nodes.index(node)].astype(np.int64)
        return found


def compile_tree(tree: Tree) -> CompiledTree:
    """The arrays of `tree`. Raises ValueError for a node of more than 127 choices."""
    nodes, labels = tree.nodes, tree.labels
    counts = [len(tree.children[name]) for name in nodes]
    for name, count in zip(nodes, counts, strict=True):
        if count > 127:
            raise ValueError(f"node {name!r} has {count} choices; the maximum is 127, split it into two steps")
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    node_index = {name: i for i, name in enumerate(nodes)}
    label_index = {label: i for i, label in enumerate(labels)}
    edge_target = np.array(
        [
            -1 - label_index[child.target] if child.is_leaf else node_index[child.target]
            for name in nodes
            for child in tree.children[name]
        ],
        dtype=np.int64,
    )
    paths = [[(node_index[name], choice) for name, choice in tree.path(label)] for label in labels]
    leaf_edges = np.full((len(labels), max(map(len, paths))), -1, dtype=np.int64)
    membership = np.zeros((len(labels), len(edge_target)), dtype=np.bool_)
    answers = np.full((len(nodes), len(labels)), -1, dtype=np.int8)
    for i, path in enumerate(paths):
        edges = [int(offsets[n]) + choice for n, choice in path]
        leaf_edges[i, : len(edges)] = edges
        membership[i, edges] = True
        for n, choice in path:
            answers[n, i] = choice
    level_of_node = np.array([tree.levels.index(tree.level_of(name)) for name in nodes], dtype=np.int64)
    edge_node = np.repeat(np.arange(len(nodes)), counts)
    edge_choice = np.arange(len(edge_target)) - offsets[edge_node]
    arrays = (offsets, edge_node, edge_choice, edge_target, membership, leaf_edges, answers, level_of_node)
    for array in arrays:
        array.flags.writeable = False
    return CompiledTree(
        nodes=nodes,
        labels=labels,
        levels=tree.levels,
        offsets=offsets,
        edge_node=edge_node,
        edge_choice=edge_choice,
        edge_target=edge_target,
        membership=membership,
        leaf_edges=leaf_edges,
        answers=answers,
        level_of_node=level_of_node,
    )


def heights(plan: CompiledTree) -> Ints:
    """Steps from each label up to the lowest node it has in common with each other label: (L, L), 0 with itself.

    Labels that lie at unequal depths have unequal steps: what counts is the way from the first one.
    """
    below = plan.answers >= 0
    own = below.sum(0)
    same = (below[:, :, None] & (plan.answers[:, :, None] == plan.answers[:, None, :])).sum(0)
    found: Ints = own[:, None] - same
    return found
