"""What decided an answer: pixels, for the networks of a benchmark; symmetry maps, for our own classifier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...hierarchy.placements import settings
from ...models.classifier import Classifier
from ...models.evidence.batches import moved
from ...models.evidence.groups import GROUPS
from ...models.evidence.lattice import Lattice
from ...models.evidence.maps import MAPS, WEIGHTINGS
from ...models.evidence.representation import ABSENT, GROUP_SCORES, MAP_CHANNELS
from .refused import NOT_PERIODIC

if TYPE_CHECKING:
    from .results import Prediction


@dataclass(frozen=True)
class MapAnswer:
    """How much each operation's maps weigh at each step of the path: `drops` {operation: lost log-probability}."""

    node: str
    choice: str
    probability: float
    drops: Mapping[str, float]


@torch.inference_mode()
def explain_maps(
    classifier: Classifier, image: Tensor, lattice: Lattice | None = None, answered: Prediction | None = None
) -> list[MapAnswer]:
    """Which symmetry maps each step of the path depends on, for a view (3, H, W), and its lattice if it is known.

    The steps are those of the answer that was `answered` for it; without one, those to the label that the networks find
    likeliest. An image that is refused has one step, the gate's.

    Each operation's maps and peaks are taken away in turn, and the scores of all groups that may have it, as if the
    lattice did not allow it. The log-probability that the node's answer loses is their weight. It is negative where
    they spoke against the answer.
    """
    known = None if lattice is None else moved(lattice, classifier.device)
    found = classifier.represent(image[None].to(classifier.device), known)
    count, width = len(MAPS), len(WEIGHTINGS)
    maps = found.maps.expand(count + 1, -1, -1, -1).clone()
    numbers = found.numbers.expand(count + 1, -1).clone()
    for k in range(count):
        own = slice(k * width, (k + 1) * width)
        maps[k + 1, own] = ABSENT
        numbers[k + 1, :MAP_CHANNELS][own] = ABSENT
        if bool((found.maps[0, own] != ABSENT).any()):
            numbers[k + 1, GROUP_SCORES].view(len(GROUPS), -1)[_with_operation(k)] = ABSENT
    answer = classifier.combine(classifier.outputs(maps.float(), numbers, free=True))
    names, tree = [name for name, _, _ in MAPS], classifier.bundle.tree

    def step(node: str, choice: str, logp: Tensor, probability: float | None = None) -> MapAnswer:
        drops = (logp[0] - logp[1:]).tolist()
        p = float(logp[0].exp()) if probability is None else probability
        return MapAnswer(node, choice, p, dict(zip(names, drops, strict=True)))

    def chosen(node: str, choice: str) -> Tensor:
        return answer.nodes[node][:, tree.choices(node).index(choice)].cpu()

    if not (bool(answer.pattern[0] >= 0.5) if answered is None else answered.periodic):
        logp = (1 - answer.pattern.double()).clamp_min(1e-12).log().cpu()
        return [step("gate", NOT_PERIODIC, logp, None if answered is None else 1 - answered.periodic_probability)]
    if answered is not None:
        return [step(s.node, s.choice, chosen(s.node, s.choice), s.probability) for s in answered.path]
    label = classifier.labels[int(answer.log_probabilities[0].argmax())]
    taken = [(node, tree.choices(node)[choice]) for node, choice in tree.path(label)]
    return [step(node, choice, chosen(node, choice)) for node, choice in taken]


@cache
def _with_operation(index: int) -> list[int]:
    """Which of `GROUPS` have the operation of a map in some setting."""
    name, W, _ = MAPS[index]
    rectangular = name in ("mirror a", "mirror b", "glide a", "glide b")  # on others a mirror brings glides with it
    kinds = {name.partition(" ")[0]} if rectangular else {"mirror", "glide", "rotation"}
    return [k for k, group in enumerate(GROUPS) if any(s.kind.get(W) in kinds for s in settings(group) if W in s.kind)]
