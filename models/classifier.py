"""The assembled classifier: images to a wallpaper group, with a probability at every step of the tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from ..hierarchy import CompiledTree, compile_tree
from .bundle import BUNDLED, GATE, Bundle, BundleError, load_bundle
from .lattice import Lattice
from .representation import SymmetryEvidence
from .router import Router, route


@dataclass(frozen=True)
class Answer:
    """Answer for a batch of B images over a tree with L labels.

    `log_probabilities` (B, L) in the tree's order of labels; `pattern` (B,) the gate's probability that the image
    is periodic at all; `nodes` the (B, k) log-probabilities of every node; `lattice` what images were read on.
    """

    log_probabilities: Tensor
    pattern: Tensor
    nodes: dict[str, Tensor]
    lattice: Lattice | None = None


class Classifier:
    """Node classifiers joined by a router. Build it with `load`.

    Raises `BundleError` when a node of the tree has no classifier in the bundle.
    """

    def __init__(self, bundle: Bundle, device: str | torch.device = "cpu") -> None:
        names = (*bundle.tree.nodes, GATE)
        missing = [name for name in names if name not in bundle.nodes]
        if missing:
            raise BundleError(f"the model has no classifier at {', '.join(missing)} yet: `hier train --level all`")
        self.bundle = bundle
        self.device = torch.device(device)
        self.represent = SymmetryEvidence()
        self.nodes = {name: bundle.nodes[name].to(self.device).eval() for name in names}

    @classmethod
    def load(cls, path: Path | str = BUNDLED, device: str | torch.device = "cpu") -> Classifier:
        """The classifier of a bundle, by its folder or card; the bundled one by default."""
        return cls(load_bundle(Path(path)), device)

    @cached_property
    def plan(self) -> CompiledTree:
        """The tree as arrays."""
        return compile_tree(self.bundle.tree)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels in the order of the probabilities."""
        return self.plan.labels

    @torch.inference_mode()
    def answer(self, images: Tensor, router: Router = "soft") -> Answer:
        """Images of one size (B, C, H, W) float32 in [0, 1] to an `Answer`."""
        found = self.represent(images.to(self.device))
        return replace(self.decide(found.maps, found.numbers, router), lattice=found.lattice)

    @torch.inference_mode()
    def decide(self, maps: Tensor, numbers: Tensor, router: Router = "soft") -> Answer:
        """The same from the maps and numbers of `Evidence`, without the lattice."""
        maps, numbers = maps.to(self.device).float(), numbers.to(self.device)
        nodes = {name: node.log_probabilities(maps, numbers) for name, node in self.nodes.items()}
        pattern = nodes.pop(GATE)[:, 1].exp()
        return Answer(route(self.plan, nodes, router), pattern, nodes)

    def path(self, answer: Answer, index: int, label: str) -> Sequence[tuple[str, str, str, float]]:
        """Steps to `label` for image `index`: (node, level, choice, probability of the choice at that node)."""
        tree = self.bundle.tree
        steps = []
        for node, choice in tree.path(label):
            p = float(answer.nodes[node][index, choice].exp())
            steps.append((node, tree.level_of(node), tree.choices(node)[choice], p))
        return steps
