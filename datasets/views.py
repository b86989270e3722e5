"""What the training of a node needs of a dataset: which of its images, and the answer to each. No copies.

A view is a rule from its own indices to the dataset's. Its classes take turns, and so do the labels within a
class, so that every stretch of a view is balanced over its classes however unequal their labels are in number.

>>> from hier.datasets import PatternDataset
>>> from hier.hierarchy import load_tree
>>> view = node_view(PatternDataset("noise", seed=1), load_tree("wallpaper"), "reflection-4")
>>> view.names, [view.label(i) for i in range(6)], [view.index(i) for i in range(6)]
(('no reflection', 'reflection or glide'), ['p4', 'p4m', 'p4', 'p4g', 'p4', 'p4m'], [9, 10, 26, 11, 43, 27])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..hierarchy import Tree, UnknownNameError, compile_tree


class Labelled(Protocol):
    """Images with labels: `PatternDataset`, a folder of images, or anything that can do this."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that occur."""
        ...

    def label(self, index: int) -> str:
        """Label of image `index`."""
        ...

    def find(self, label: str, k: int) -> int:
        """Index of image number `k` (from 0) of those with this label; a finite dataset begins again."""
        ...

    def batch(self, indices: Sequence[int], device: str | torch.device = "cpu") -> Tensor:
        """Images (B, 3, H, W) in [0, 1]."""
        ...


@dataclass(frozen=True)
class View:
    """Images of `dataset` in classes: class c is called ``names[c]`` and holds the labels ``classes[c]``."""

    dataset: Labelled
    names: tuple[str, ...]
    classes: tuple[tuple[str, ...], ...]

    def target(self, i: int) -> int:
        """Class of image `i` of the view."""
        return i % len(self.classes)

    def label(self, i: int) -> str:
        """Label of image `i` of the view."""
        labels = self.classes[self.target(i)]
        return labels[i // len(self.classes) % len(labels)]

    def index(self, i: int) -> int:
        """Index in the dataset of image `i` of the view."""
        turn = i // len(self.classes)
        return self.dataset.find(self.label(i), turn // len(self.classes[self.target(i)]))

    def targets(self, indices: Sequence[int]) -> Tensor:
        """Classes of some images: (B,) int64."""
        return torch.tensor([self.target(i) for i in indices], dtype=torch.int64)

    def batch(self, indices: Sequence[int], device: str | torch.device = "cpu") -> Tensor:
        """Images (B, 3, H, W) of the view."""
        return self.dataset.batch([self.index(i) for i in indices], device)


def flat_view(dataset: Labelled, tree: Tree) -> View:
    """One class for every label of the tree that the dataset has."""
    known = [name for name in tree.labels if name in dataset.labels]
    return _view(dataset, known, [(name,) for name in known], f"tree {tree.name!r}")


def node_view(dataset: Labelled, tree: Tree, node: str) -> View:
    """The labels below `node`, one class for each of its choices. UnknownNameError for an unknown node."""
    return _view(dataset, tree.choices(node), _below(tree, node, dataset), f"node {node!r}")


def level_view(dataset: Labelled, tree: Tree, level: str) -> View:
    """Everything that a level tells apart: one class for each choice of each of its nodes, as ``node/choice``."""
    nodes = tree.nodes_at(level)
    names = [f"{node}/{choice}" for node in nodes for choice in tree.choices(node)]
    return _view(dataset, names, [labels for node in nodes for labels in _below(tree, node, dataset)], level)


def answers(tree: Tree, labels: Sequence[str]) -> Tensor:
    """The answer to every question: (B, N) int64, the choice at each of ``tree.nodes`` or -1 off the path."""
    plan = compile_tree(tree)
    for label in labels:
        if label not in plan.labels:
            raise UnknownNameError(f"label of tree {tree.name!r}", label, plan.labels)
    rows = [plan.labels.index(label) for label in labels]
    return torch.from_numpy(plan.answers[:, rows].T.copy()).long()


def _below(tree: Tree, node: str, dataset: Labelled) -> list[tuple[str, ...]]:
    here = [name for name in tree.labels_below(node) if name in dataset.labels]
    return [tuple(n for n in here if tree.answer(node, n) == c) for c in range(len(tree.choices(node)))]


def _view(dataset: Labelled, names: Sequence[str], classes: Sequence[tuple[str, ...]], what: str) -> View:
    kept = [(name, labels) for name, labels in zip(names, classes, strict=True) if labels]
    if not kept:
        raise UnknownNameError(f"label for {what}", ", ".join(dataset.labels), names)
    return View(dataset, tuple(name for name, _ in kept), tuple(labels for _, labels in kept))
