"""The assembled classifier: images to a wallpaper group, with a probability at every step of the tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from ..hierarchy import CompiledTree, compile_tree
from .bundle import BUNDLED, GATE, Bundle, BundleError, load_bundle
from .evidence.batches import moved
from .evidence.flatten import Flattened
from .evidence.lattice import Lattice
from .evidence.representation import SymmetryEvidence
from .evidence.structure import Structure
from .node import NodeClassifier
from .routing.calibration import temper
from .routing.ensemble import average, disagreement
from .routing.mixture import Fitted
from .routing.router import FLAT, NEED_FLAT, Router, conditionals, route, winners


@dataclass(frozen=True)
class Answer:
    """Answer for a batch of B images over a tree with L labels.

    `log_probabilities` (B, L) in the tree's order of labels; `winners` (B,) the predicted label, the
    likeliest except with ``bayes``; `pattern` (B,) the gate's probability that the image is periodic at all; `nodes`
    the (B, k) log-probabilities of every node, and of the flat head where there is one; `disagreement` (B,) between
    several models in nats, None with one. `lattice` and `structure` are what the images' evidence was made from, `flat`
    what was taken from the images before; None in answers that were made from evidence.
    """

    log_probabilities: Tensor
    winners: Tensor
    pattern: Tensor
    nodes: dict[str, Tensor]
    router: Router = "soft"
    disagreement: Tensor | None = None
    lattice: Lattice | None = None
    structure: Structure | None = None
    flat: Flattened | None = None


class Classifier:
    """Node classifiers joined by a router. Build it with `load`.

    Several bundles of one tree are an ensemble: at every node the probabilities of all that have it are averaged.
    Raises `BundleError` when a node of the tree has no classifier in any of them, or their trees differ.
    """

    def __init__(self, bundle: Bundle | Sequence[Bundle], device: str | torch.device = "cpu") -> None:
        bundles = (bundle,) if isinstance(bundle, Bundle) else tuple(bundle)
        self.bundle = bundles[0]
        for other in bundles[1:]:
            if other.tree != self.bundle.tree:
                raise BundleError(
                    f"models in an ensemble must share one tree, not {self.bundle.tree.name} and {other.tree.name}"
                )
        self.device = torch.device(device)
        self.represent = SymmetryEvidence()
        self.nodes: dict[str, tuple[NodeClassifier, ...]] = {}
        self.temperatures: dict[str, tuple[float, ...]] = {}
        for name in (*self.bundle.tree.nodes, GATE, FLAT):
            have = [b for b in bundles if name in b.nodes]
            if have:
                self.nodes[name] = tuple(b.nodes[name].to(self.device).eval() for b in have)
                self.temperatures[name] = tuple(b.card.nodes[name].temperature for b in have)
        missing = [name for name in (*self.bundle.tree.nodes, GATE) if name not in self.nodes]
        if missing:
            raise BundleError(f"the model has no classifier for {', '.join(missing)} yet: run `hier train --level all`")
        self.fitted = _fitted(bundles)

    @classmethod
    def load(cls, path: Path | str | Sequence[Path | str] = BUNDLED, device: str | torch.device = "cpu") -> Classifier:
        """The classifier of a bundle, by its folder or card, or of several; the bundled one by default."""
        paths = (path,) if isinstance(path, (Path, str)) else path
        return cls([load_bundle(Path(p)) for p in paths], device)

    @cached_property
    def plan(self) -> CompiledTree:
        """The tree as arrays."""
        return compile_tree(self.bundle.tree)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels in the order of the probabilities."""
        return self.plan.labels

    @property
    def several(self) -> bool:
        """Whether some node has more than one model."""
        return any(len(members) > 1 for members in self.nodes.values())

    def require(self, router: Router) -> None:
        """BundleError when the model lacks what `router` needs."""
        if router in NEED_FLAT and FLAT not in self.nodes:
            raise BundleError(
                f"router {router!r} needs a flat head, which the model lacks: `hier train --level all` makes one"
            )
        if router == "stack" and self.several:
            raise BundleError("router 'stack' works with a single model: give only one, or another router")
        if router == "stack" and self.fitted.stack is None:
            raise BundleError("router 'stack' is not fitted in this model yet: run `hier calibrate`")

    @torch.inference_mode()
    def answer(self, images: Tensor, router: Router = "soft", lattice: Lattice | None = None) -> Answer:
        """Images of one size (B, C, H, W) float32 in [0, 1] to an `Answer`.

        `lattice` is theirs if known (`View` keeps it); otherwise it is found. Under ``hard`` the nodes that an image
        does not reach are not run for it: NaN in `Answer.nodes`.
        """
        known = None if lattice is None else moved(lattice, self.device)
        found = self.represent(images.to(self.device), known)
        lazy = router == "hard" and not self.several
        decided = self.decide(found.maps, found.numbers, router, lazy)
        repeats = found.lattice.level > 0  # one flat colour has no lattice, and its maps say nothing
        pattern = torch.where(repeats, decided.pattern, 0.0)
        return replace(decided, pattern=pattern, lattice=found.lattice, structure=found.structure, flat=found.flat)

    @torch.inference_mode()
    def decide(self, maps: Tensor, numbers: Tensor, router: Router = "soft", lazy: bool = False) -> Answer:
        """The same from the maps and numbers of `Evidence`, without lattice and structure; `lazy` as ``hard`` is."""
        outputs = self.outputs_on_the_way(maps, numbers) if lazy else self.outputs(maps, numbers)
        return self.combine(outputs, router)

    @torch.inference_mode()
    def outputs(self, maps: Tensor, numbers: Tensor) -> dict[str, Tensor]:
        """Log-probabilities of the M models of every node, gate and flat head included, not tempered: (M, B, k)."""
        maps, numbers = maps.to(self.device).float(), numbers.to(self.device)
        return {
            name: torch.stack([node.log_probabilities(maps, numbers) for node in members])
            for name, members in self.nodes.items()
        }

    @torch.inference_mode()
    def outputs_on_the_way(self, maps: Tensor, numbers: Tensor) -> dict[str, Tensor]:
        """`outputs` of the gate and of those nodes that each image reaches by its likeliest choices, else NaN.

        One model a node. Images are grouped by node, so that a node runs once, on those that reach it.
        """
        maps, numbers = maps.to(self.device).float(), numbers.to(self.device)
        plan = self.plan
        here = {plan.nodes[0]: torch.arange(len(maps), device=self.device)}
        found = {GATE: self.nodes[GATE][0].log_probabilities(maps, numbers)[None]}
        for n, name in enumerate(plan.nodes):  # breadth first: a node's parent comes before it
            first, last = plan.offsets[n : n + 2]
            rows = maps.new_full((len(maps), int(last - first)), torch.nan)
            at = here.get(name)
            if at is not None and len(at):
                rows[at] = self.nodes[name][0].log_probabilities(maps[at], numbers[at])
                best = rows[at].argmax(1)
                for choice, target in enumerate(plan.edge_target[first:last]):
                    if target >= 0:
                        here[plan.nodes[target]] = at[best == choice]
            found[name] = rows[None]
        return found

    def combine(self, outputs: Mapping[str, Tensor], router: Router = "soft") -> Answer:
        """An answer from `outputs`: tempered, averaged over models, routed."""
        self.require(router)
        members = {
            name: torch.stack([temper(x, t) for x, t in zip(found, self.temperatures[name], strict=True)])
            for name, found in outputs.items()
        }
        nodes = {name: average(found) for name, found in members.items()}
        pattern = nodes.pop(GATE)[:, 1].exp()
        logp = route(self.plan, nodes, router, self.fitted)
        unsure = disagreement(self.plan, members) if self.several else None
        return Answer(logp, winners(self.plan, logp, router), pattern, nodes, router, unsure)

    def path(self, answer: Answer, index: int, label: str) -> Sequence[tuple[str, str, str, float]]:
        """Steps to `label` for image `index`: (node, level, choice, probability of the choice at that node).

        Their product is the label's probability; only ``hard``, which is always certain, shows the nodes' own.
        """
        tree = self.bundle.tree
        nodes, row = answer.nodes, index
        if answer.router != "hard":
            nodes, row = conditionals(self.plan, answer.log_probabilities[index : index + 1]), 0
        return [
            (node, tree.level_of(node), tree.choices(node)[choice], float(nodes[node][row, choice].exp()))
            for node, choice in tree.path(label)
        ]


def _fitted(bundles: Sequence[Bundle]) -> Fitted:
    """What the routers of a model are fitted to; for several models the mean, which fits none of them exactly.

    A stack belongs to one model; flat heads are mixed by the kind of mean that was fitted to the first.
    """
    cards = [b.card.routing for b in bundles]
    temperature = float(torch.tensor([c.temperature for c in cards], dtype=torch.float64).log().mean().exp())
    mixes = [(c.how, c.weight) for c in cards if c.how is not None and c.weight is not None]
    made = Fitted(temperature, stack=bundles[0].stack if len(bundles) == 1 else None)
    if mixes:
        how = mixes[0][0]
        weights = [w for h, w in mixes if h == how]
        made = replace(made, how=how or made.how, weight=sum(weights) / len(weights))
    return made
