"""A training that keeps no evidence: each image is made when it is needed, and all nodes learn from it at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from zlib import crc32

import torch

from ...hierarchy import CompiledTree
from ...models.bundle import FLAT, GATE
from ...models.node import NodeClassifier
from .data import samples_of
from .fit import Samples, score, step_of
from .loop import Metrics, Schedule, Step, train
from .steps import Record, Steps, nowhere
from .stream import Fresh, Stream

FEWEST = 4  # images of a batch that a node learns from; of fewer it learns nothing
Epochs = Callable[[int, Mapping[str, Metrics]], None]


@dataclass(frozen=True)
class EndlessSteps(Steps):
    """The backbone sees `epochs` times `count` new images, and after that all `chosen` nodes `tune_epochs` times more.

    The nodes learn together, each from the images below it.
    """

    chosen: tuple[str, ...] = ()

    def backbone(self, record: Record = nowhere) -> NodeClassifier:
        """The network that answers all labels."""
        s, first = self.settings, self.fresh()
        told = self.told("all groups", s.epochs, record)
        schedule, stream = Schedule(s.epochs, s.lr, self.batch, s.seed), Stream(s, self.device, self.batch)
        held_out = {FLAT: samples_of(self.data.valid(), self.plan)}
        file = self.work / "backbone.pt"
        fit_together({FLAT: first}, self.plan, stream, held_out, schedule, file, lambda k, m: told(k, m[FLAT]))
        return first

    def images(self, name: str) -> int:
        """The number of images that are made for the node, or the backbone; not all of them are below the node."""
        s = self.settings
        return s.count * (s.epochs if name == FLAT else s.tune_epochs)

    def tuned(self, name: str, shared: NodeClassifier, record: Record = nowhere) -> NodeClassifier:
        """The node `name`, fine-tuned from the backbone `shared` together with all others."""
        if name == FLAT:
            return shared
        nodes, history = self._together(shared)
        for epoch, metrics in enumerate(history):
            record(epoch, metrics[name])
        return nodes[name]

    def _together(self, shared: NodeClassifier) -> tuple[dict[str, NodeClassifier], list[Mapping[str, Metrics]]]:
        """All nodes tuned, and the metrics of each in every epoch; the first call does it."""
        if not self._made:
            s, history = self.settings, list[Mapping[str, Metrics]]()
            names = [name for name in self.chosen if name != FLAT]
            nodes = {name: self.begun(name, shared) for name in names}
            valid = {name: self.about(name).sets["valid"] for name in names}
            stream = Stream(s, self.device, self.batch, GATE in names, s.epochs)
            schedule = Schedule(s.tune_epochs, s.tune_lr, self.batch, s.seed + 1)
            file = self.work / f"nodes-{crc32(' '.join(names).encode()):08x}.pt"

            def report(epoch: int, metrics: Mapping[str, Metrics]) -> None:
                history.append(metrics)
                lowest = min(metrics.values(), key=lambda m: m["valid/accuracy"])
                self.reporter.epoch("all nodes", epoch, s.tune_epochs, lowest)

            fit_together(nodes, self.plan, stream, valid, schedule, file, report)
            self._made.append((nodes, history))
        return self._made[0]

    @cached_property
    def _made(self) -> list[tuple[dict[str, NodeClassifier], list[Mapping[str, Metrics]]]]:
        return []


def fit_together(
    nodes: Mapping[str, NodeClassifier], plan: CompiledTree, stream: Stream, valid: Mapping[str, Samples],
    schedule: Schedule, checkpoint: Path | None, report: Epochs,
) -> None:  # fmt: skip
    """Train nodes in place, by name, on the batches of `stream`, as `loop.train`: a batch is made once for all of them.

    ``report(epoch, metrics)`` gets the metrics of each node, scored on its samples in `valid`; loss and accuracy in
    training are those of all nodes together.
    """
    device = next(next(iter(nodes.values())).parameters()).device

    def step(fresh: Fresh) -> Step:
        sums: list[Step] = []
        for name, node in nodes.items():
            samples = fresh.samples(plan, name)
            if len(samples) >= FEWEST:
                sums.append(step_of(node, device, samples, torch.arange(len(samples))))
        if not sums:  # a small batch without an image below any of them
            nothing = torch.zeros((), device=device)
            return 0 * next(next(iter(nodes.values())).parameters()).sum(), nothing, nothing
        loss, right, asked = (torch.stack(some).sum() for some in zip(*sums, strict=True))
        return loss, right, asked

    def after(loss: float, accuracy: float) -> Metrics:
        made = {"train/loss": loss / len(nodes), "train/accuracy": accuracy}
        each = {name: made | score(node, valid[name], "valid") for name, node in nodes.items()}
        return {f"{name}:{key}": value for name, metrics in each.items() for key, value in metrics.items()}

    def told(epoch: int, metrics: Metrics) -> None:
        split: dict[str, Metrics] = {name: {} for name in nodes}
        for key, value in metrics.items():
            name, _, metric = key.rpartition(":")
            for node in (name,) if name else nodes:  # speed is that of all together
                split[node][metric] = value
        report(epoch, split)

    train(dict(nodes), step, stream, schedule, checkpoint, after, told)
