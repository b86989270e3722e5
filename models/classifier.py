"""The assembled classifier: images to a wallpaper group, with a probability at every step of the tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from ..hierarchy import CompiledTree, HierError, compile_tree
from .bundle import BUNDLED, GATE, Bundle, BundleError, load_bundle
from .evidence.background import bare_slopes
from .evidence.batches import moved
from .evidence.copies import FEWEST
from .evidence.flatten import Flattened
from .evidence.groups import GroupScores
from .evidence.lattice import Lattice
from .evidence.representation import STRAIN, Evidence, SymmetryEvidence
from .evidence.structure import Structure
from .evidence.within import OtherLattices, other_lattices
from .ladder import TOLERANCES, Ladder
from .leanings import IMPOSSIBLE, groups_below, leanings
from .node import NodeClassifier
from .routing.calibration import temper
from .routing.ensemble import average, disagreement
from .routing.mixture import Fitted
from .routing.router import FLAT, NEED_FLAT, Router, conditionals, route, winners
from .stack import Stacks

ALMOST = 1e-7  # how much less than certain a choice is, at least, in nats


@dataclass(frozen=True)
class Answer:
    """Answer for a batch of B images over a tree with L labels.

    `log_probabilities` (B, L) in the tree's order of labels; `winners` (B,) the predicted label, the
    likeliest except with ``bayes``; `pattern` (B,) the gate's probability that the image is periodic at all; `nodes`
    the (B, k) log-probabilities of every node, and of the flat head where there is one; `disagreement` (B,) between
    several models in nats, None with one. `lattice`, `structure` and `groups` are what the images' evidence was made
    from, `flat` what was taken from the images before; None in answers that were made from evidence. `ladder`
    is the answer at every tolerance, None unless asked for.
    """

    log_probabilities: Tensor
    winners: Tensor
    pattern: Tensor
    nodes: dict[str, Tensor]
    router: Router = "soft"
    disagreement: Tensor | None = None
    lattice: Lattice | None = None
    structure: Structure | None = None
    groups: GroupScores | None = None
    flat: Flattened | None = None
    ladder: Ladder | None = None


class Classifier:
    """Node classifiers joined by a router. Build it with `load`.

    Several bundles of one tree are an ensemble: at every node the probabilities of all that have it are averaged.
    `strain` is the largest change of the lattice's metric that a group may need, relative to the cell's area: about
    twice the relative difference of lengths that should be equal, or twice an angle's deviation in radians.
    Raises `BundleError` when a node of the tree has no classifier in any of them, or their trees differ.
    """

    def __init__(
        self, bundle: Bundle | Sequence[Bundle], device: str | torch.device = "cpu", strain: float = STRAIN
    ) -> None:
        bundles = (bundle,) if isinstance(bundle, Bundle) else tuple(bundle)
        self.bundle = bundles[0]
        for other in bundles[1:]:
            if other.tree != self.bundle.tree:
                raise BundleError(
                    f"models in an ensemble must share one tree, not {self.bundle.tree.name} and {other.tree.name}"
                )
        self.device, self.strain = torch.device(device), strain
        self.represent = SymmetryEvidence()
        self.nodes: dict[str, tuple[NodeClassifier, ...]] = {}
        self.temperatures: dict[str, tuple[float, ...]] = {}
        for name in (*self.bundle.tree.nodes, GATE, FLAT):
            have = [b for b in bundles if name in b.nodes]
            if have:
                # twice as fast on a processor as with the channels first
                self.nodes[name] = tuple(
                    b.nodes[name].to(self.device).to(memory_format=torch.channels_last).eval() for b in have
                )
                self.temperatures[name] = tuple(b.card.nodes[name].temperature for b in have)
        missing = [name for name in (*self.bundle.tree.nodes, GATE) if name not in self.nodes]
        if missing:
            raise BundleError(f"the model has no classifier for {', '.join(missing)} yet: run `hier train --level all`")
        self.fitted = _fitted(bundles)

    @classmethod
    def load(
        cls,
        path: Path | str | Sequence[Path | str] = BUNDLED,
        device: str | torch.device = "cpu",
        strain: float = STRAIN,
    ) -> Classifier:
        """The classifier of a bundle, by its folder or card, or of several; the bundled one by default."""
        paths = (path,) if isinstance(path, (Path, str)) else path
        return cls([load_bundle(Path(p)) for p in paths], device, strain)

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
    def answer(
        self, images: Tensor, router: Router = "soft", lattice: Lattice | None = None, tolerance: float | None = None,
        ladder: bool = False,
    ) -> Answer:  # fmt: skip
        """Images of one size (B, C, H, W) float32 in [0, 1] to an `Answer`.

        `lattice` is theirs if known (`View` keeps it); otherwise it is found. `tolerance` in (0, 1) is the misfit up to
        which an operation, a translation too, counts as a symmetry; without one the nodes judge by how exact the image
        is otherwise. With `ladder` the answer comes at every tolerance too. Under ``hard``, without a ladder, the nodes
        that an image does not reach are not run for it: NaN in `Answer.nodes`.
        """
        known = None if lattice is None else moved(lattice, self.device)
        images = images.to(self.device)
        found = self.represent(images, known)
        # one flat colour has no lattice, and a few objects do not tell one
        nothing = bare_slopes(images) | (found.lattice.level == 0) | (found.copies < FEWEST)
        others = other_lattices(found, self.represent) if ladder or tolerance is not None else None
        lazy = router == "hard" and not self.several and not ladder
        seen = {} if lazy else self.see(found.maps, found.numbers)
        at_all = self._ladder(found, seen, others) if ladder else None
        if others is not None and tolerance is not None:
            found = others.at(tolerance, found)
            seen = {} if lazy else self.see(found.maps, found.numbers)
        if lazy:
            decided = self.decide(found.maps, found.numbers, router, True, tolerance)
        else:
            decided = self.combine(self.judge(seen, tolerance, self.leanings(found.numbers, tolerance)), router)
        return replace(
            decided,
            pattern=torch.where(nothing, 0.0, decided.pattern),
            lattice=found.lattice,
            structure=found.structure,
            groups=found.groups,
            flat=found.flat,
            ladder=at_all,
        )

    def _ladder(self, found: Evidence, seen: Mapping[str, Tensor], others: OtherLattices | None) -> Ladder:
        own = self.at_tolerances(seen, TOLERANCES, found.numbers)
        if others is None:
            return Ladder.of(found, own, None, None)
        numbers = others.evidence.numbers
        there = self.at_tolerances(self.see(others.evidence.maps, numbers), TOLERANCES, numbers)
        return Ladder.of(found, own, others, there)

    @torch.inference_mode()
    def decide(
        self, maps: Tensor, numbers: Tensor, router: Router = "soft", lazy: bool = False, tolerance: float | None = None
    ) -> Answer:
        """The same from the maps and numbers of `Evidence`, without lattice and structure; `lazy` as ``hard`` is."""
        how = self.outputs_on_the_way if lazy else self.outputs
        return self.combine(how(maps, numbers, tolerance), router)

    @torch.inference_mode()
    def outputs(
        self, maps: Tensor, numbers: Tensor, tolerance: float | None = None, free: bool = False
    ) -> dict[str, Tensor]:
        """Log-probabilities of the M models of every node, gate and flat head included, not tempered: (M, B, k).

        With what the scores alone say, see `leanings`, unless `free`.
        """
        return self.judge(self.see(maps, numbers), tolerance, {} if free else self.leanings(numbers, tolerance))

    @cached_property
    def _below(self) -> dict[str, Tensor]:
        return {name: groups.to(self.device) for name, groups in groups_below(self.plan).items()}

    def leanings(self, numbers: Tensor, tolerance: float | Sequence[float] | None = None) -> dict[str, Tensor]:
        """What the scores of the groups add to each node's logits: see the module of that name."""
        return leanings(self._below, numbers.to(self.device), tolerance, self.strain)

    @torch.inference_mode()
    def see(self, maps: Tensor, numbers: Tensor) -> dict[str, Tensor]:
        """What the models of every node make of the evidence, whatever the tolerance: (M, B, HIDDEN)."""
        return self._stacks.see(maps.to(self.device).float(), numbers.to(self.device))

    @cached_property
    def _stacks(self) -> Stacks:
        return Stacks(self.nodes)

    @torch.inference_mode()
    def judge(
        self, seen: Mapping[str, Tensor], tolerance: float | None, added: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """`outputs` at a tolerance from what `see` returned, with what `leanings` adds."""
        return {
            name: torch.stack(
                [_judged(m, x, tolerance, added.get(name)) for m, x in zip(self.nodes[name], members, strict=True)]
            )
            for name, members in seen.items()
        }

    @torch.inference_mode()
    def at_tolerances(self, seen: Mapping[str, Tensor], tolerances: Sequence[float], numbers: Tensor) -> Tensor:
        """Log-probabilities (T, B, L) at each of T tolerances, joined by ``soft``."""
        asked, added = torch.tensor(tolerances, device=self.device)[:, None], self.leanings(numbers, tolerances)
        outputs = {}
        for name, members in seen.items():
            each = [m.decide(x, asked) + added.get(name, 0.0) for m, x in zip(self.nodes[name], members, strict=True)]
            outputs[name] = torch.stack([logits.log_softmax(-1).flatten(0, 1) for logits in each])
        logp = self.combine(outputs).log_probabilities
        return logp.reshape(len(tolerances), -1, logp.shape[-1])

    @torch.inference_mode()
    def outputs_on_the_way(self, maps: Tensor, numbers: Tensor, tolerance: float | None = None) -> dict[str, Tensor]:
        """`outputs` of the gate and of those nodes that each image reaches by its likeliest choices, else NaN.

        One model a node. Images are grouped by node, so that a node runs once, on those that reach it.
        """
        maps, numbers = maps.to(self.device).float(), numbers.to(self.device)
        plan = self.plan
        here = {plan.nodes[0]: torch.arange(len(maps), device=self.device)}
        gate, added = self.nodes[GATE][0], self.leanings(numbers, tolerance)
        found = {GATE: _judged(gate, gate.see(maps, numbers), tolerance, None)[None]}
        for n, name in enumerate(plan.nodes):  # breadth first: a node's parent comes before it
            first, last = plan.offsets[n : n + 2]
            rows = maps.new_full((len(maps), int(last - first)), torch.nan)
            at = here.get(name)
            if at is not None and len(at):
                node = self.nodes[name][0]
                own = added.get(name)
                rows[at] = _judged(node, node.see(maps[at], numbers[at]), tolerance, None if own is None else own[at])
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
        if router == "stack":  # a regression knows nothing of what is ruled out
            logp = logp.masked_fill(route(self.plan, nodes, "soft") < IMPOSSIBLE / 2, IMPOSSIBLE).log_softmax(1)
        unsure = disagreement(self.plan, members) if self.several else None
        return Answer(logp, winners(self.plan, logp, router), pattern, nodes, router, unsure)

    def given(self, answer: Answer, index: int) -> dict[str, Tensor]:
        """Log-probabilities (k,) of every node's choices for image `index`, given that the node is reached.

        Their products along the paths are the labels' probabilities; only ``hard``, which is always certain, shows the
        nodes' own.
        """
        if answer.router == "hard":
            return {name: found[index] for name, found in answer.nodes.items()}
        nodes = conditionals(self.plan, answer.log_probabilities[index : index + 1])
        return {name: found[0].clamp_max(-ALMOST) for name, found in nodes.items()}  # 1 is the rounding of floats

    def path(self, answer: Answer, index: int, label: str) -> Sequence[tuple[str, str, str, float]]:
        """Steps to `label` for image `index`: (node, level, choice, probability of the choice as `given` has it)."""
        tree, nodes = self.bundle.tree, self.given(answer, index)
        return [
            (node, tree.level_of(node), tree.choices(node)[choice], float(nodes[node][choice].exp()))
            for node, choice in tree.path(label)
        ]


def check_tolerance(tolerance: float | None) -> None:
    """HierError for a tolerance that is given and not between 0 and 1."""
    if tolerance is not None and not 0 < tolerance < 1:
        raise HierError(f"tolerance = {tolerance}: give a number between 0 and 1, the largest misfit that still counts")


def check_device(device: str | torch.device) -> None:
    """HierError for a device that torch does not know or cannot use."""
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].partition(". ")[0]
        raise HierError(f"device {str(device)!r} cannot be used: {reason}; cpu always works") from error


def _judged(node: NodeClassifier, seen: Tensor, tolerance: float | None, leaning: Tensor | None) -> Tensor:
    asked = None if tolerance is None else seen.new_full((len(seen),), tolerance)
    logits = node.decide(seen, asked)
    return (logits if leaning is None else logits + leaning).log_softmax(1)


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
