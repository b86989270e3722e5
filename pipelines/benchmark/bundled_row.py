"""The row of the model that comes with hier: nothing is trained."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ...hierarchy import CompiledTree, HierError
from ...models.classifier import Classifier
from ...models.systems import System
from .bench import Bench, Outcome, Report
from .data import pixels

BATCH = 16


def as_it_is(
    name: str, system: System, count: int, bench: Bench, plan: CompiledTree, work: Path, after: Report
) -> Outcome:
    """Its answers to the very images that the other rows see; whether it takes them for periodic does not count."""
    classifier = Classifier.load(device=bench.device)
    if set(classifier.plan.labels) != set(plan.labels):
        raise HierError(f"row {name}: the bundled model knows the 17 groups, tree {bench.preset.tree} has other labels")
    order = torch.tensor([classifier.plan.labels.index(label) for label in plan.labels])
    logp: dict[str, Tensor] = {}
    for key, images in bench.sets.items():
        n = bench.measured(key, count)
        advance = bench.reporter.stage(f"bundled model: {key}", n)
        found = []
        for k in range(0, n, BATCH):
            batch = pixels(images.images, range(k, min(k + BATCH, n)), bench.device)
            found.append(classifier.answer(batch).log_probabilities.float().cpu()[:, order])
            advance(len(batch))
        logp[key] = torch.cat(found)
    parameters = sum(p.numel() for nodes in classifier.nodes.values() for node in nodes for p in node.parameters())
    return Outcome(logp, 0, 0.0, parameters)
