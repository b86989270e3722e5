"""Partial answers: the most specific statement about an image whose probability reaches a threshold."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...arrays import finest
from ...hierarchy import CompiledTree, Tree


@dataclass(frozen=True, eq=False)
class Statements:
    """All statements of a tree: S = N + L of them, "below node n" for each node, then each label.

    Statement 0 is the root's, that the label is one of all: always right and never informative.
    """

    plan: CompiledTree

    @cached_property
    def below(self) -> NDArray[np.bool_]:
        """(S, L) the labels that a statement leaves open."""
        return np.concatenate([self.plan.answers >= 0, np.eye(len(self.plan.labels), dtype=np.bool_)])

    @cached_property
    def size(self) -> NDArray[np.int64]:
        """(S,) how many labels that are."""
        found: NDArray[np.int64] = self.below.sum(1)
        return found

    @cached_property
    def edges(self) -> NDArray[np.bool_]:
        """(S, E) the edges from the root to the statement: those that all its labels share, none for the root."""
        return np.stack([self.plan.membership[row].all(0) for row in self.below])

    @cached_property
    def steps(self) -> NDArray[np.int64]:
        """(S,) how many steps down the tree each statement is."""
        found: NDArray[np.int64] = self.edges.sum(1)
        return found


@dataclass(frozen=True)
class Climbed:
    """For B images: `statement` (B,) as in `Statements`, and its `probability` (B,)."""

    statement: Tensor
    probability: Tensor


def climb(statements: Statements, logp: Tensor, threshold: float, holding: Tensor | None = None) -> Climbed:
    """The statement that leaves the fewest labels open among those whose probability reaches `threshold`.

    At 0 that is the likeliest label, at 1 the root, unless all but a part of the labels are impossible. Above one
    half all candidates lie on one path, and the deepest is taken; among several equally narrow, the likeliest.
    `holding` (B,) are labels that a statement must leave open: the answer of a router that does not take the likeliest.
    ValueError for a threshold outside [0, 1].
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold = {threshold} is not a probability: give 0 to 1")
    below = torch.from_numpy(statements.below).to(logp.device)
    precise = finest(logp.device)
    p = logp.to(precise).softmax(1)  # in case rounding left the sum a little off one
    mass, rest = p @ below.to(precise).T, p @ (~below).to(precise).T
    enough = rest <= 1 - threshold  # of what is left out: near certainty the mass itself is rounded to 1
    if threshold == 0:
        enough[:] = True
    enough[:, 0] = True
    if holding is not None:
        enough &= below.T[holding]
    size = torch.from_numpy(statements.size).to(mass)
    chosen = torch.where(enough, mass - 2 * size, -torch.inf).argmax(1)
    return Climbed(chosen, mass.gather(1, chosen[:, None])[:, 0].clamp_max(1))


def candidates(statements: Statements, statement: int) -> tuple[str, ...]:
    """The labels that a statement leaves open."""
    row = statements.below[statement]
    return tuple(label for label, there in zip(statements.plan.labels, row, strict=True) if there)


def in_words(tree: Tree, statements: Statements, statement: int, probability: float) -> str:
    """A statement as a sentence; `candidates` are what is undecided.

    >>> from hier.hierarchy import compile_tree, load_tree
    >>> tree = load_tree("wallpaper")
    >>> known = Statements(compile_tree(tree))
    >>> in_words(tree, known, known.plan.nodes.index("reflection-4"), 0.97)
    'order 4, p = 0.97; p4, p4m or p4g undecided'
    >>> in_words(tree, known, known.plan.nodes.index("finer-4"), 0.953)
    'order 4, reflection or glide, p = 0.95; p4m or p4g undecided'
    >>> in_words(tree, known, len(known.plan.nodes) + 11, 0.9996)
    'p4g, p > 0.99'
    >>> in_words(tree, known, 0, 1.0)
    'undecided among all 17'
    """
    plan, open_to = statements.plan, candidates(statements, statement)
    if len(open_to) == len(plan.labels):
        return f"undecided among all {len(open_to)}"
    p = "p > 0.99" if 0.995 <= probability < 1 else f"p = {probability:.2f}"
    if len(open_to) == 1:
        return f"{open_to[0]}, {p}"
    taken = np.flatnonzero(statements.edges[statement])
    said = [tree.choices(plan.nodes[plan.edge_node[e]])[plan.edge_choice[e]] for e in taken]
    return f"{', '.join(said)}, {p}; {', '.join(open_to[:-1])} or {open_to[-1]} undecided"
