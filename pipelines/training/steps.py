"""The steps of a training: a backbone on all groups, then each node fine-tuned from it, by one process or several."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from zlib import crc32

import torch

from ...hierarchy import CompiledTree, Tree, compile_tree
from ...models.bundle import FLAT, GATE, GATE_CHOICES
from ...models.node import NodeClassifier, NodeSettings
from ..generating.processes import Processes
from .data import TrainingData, samples_of, training_samples_of
from .fit import Reporter, Samples, fit
from .loop import Metrics, Schedule
from .settings import TrainSettings

Record = Callable[[int, Metrics], None]


def _nowhere(epoch: int, metrics: Metrics) -> None:
    pass


@dataclass(frozen=True)
class About:
    """A node: its level and choices, what it is fitted to, and the sets that it is scored on, by name."""

    level: str
    choices: tuple[str, ...]
    fitting: Samples
    sets: Mapping[str, Samples]


@dataclass(frozen=True)
class Steps:
    """Each step leaves a checkpoint in `work`; one that is finished is read from there, whoever made it."""

    settings: TrainSettings
    tree: Tree
    data: TrainingData
    work: Path
    processes: Processes
    device: str
    reporter: Reporter

    @cached_property
    def plan(self) -> CompiledTree:
        """The tree as arrays."""
        return compile_tree(self.tree)

    @cached_property
    def everything(self) -> Samples:
        """What the backbone is fitted to."""
        return training_samples_of(self.data.train(), self.plan)

    def backbone(self, record: Record = _nowhere) -> NodeClassifier:
        """The network that answers all labels, trained by all processes together."""
        s = self.settings
        torch.manual_seed(s.seed)  # weights begin alike, whatever was drawn before
        first = NodeClassifier(NodeSettings(self.plan.labels, s.backbone), s.pretrained).to(self.device)
        schedule = Schedule(s.epochs, s.lr, s.batch, s.seed)
        told = self._told("all groups", s.epochs, record)
        everything, held_out = self.everything, samples_of(self.data.valid(), self.plan)
        return fit(first, everything, held_out, schedule, self.work / "backbone.pt", told, True, self.processes)

    def about(self, name: str) -> About:
        """The node's samples; the first to ask for them waits until they are made."""
        if name == GATE:
            return About("gate", GATE_CHOICES, self.data.gate("train"), {"valid": self.data.gate("valid")})
        under = None if name == FLAT else name  # of all labels, or of one node
        level = "flat" if under is None else self.tree.level_of(name)
        choices = self.plan.labels if under is None else self.tree.choices(name)
        sets = {"valid": samples_of(self.data.valid(), self.plan, under)}
        sets |= {f"cross_{source}": samples_of(e, self.plan, under) for source, e in self.data.cross().items()}
        return About(level, choices, training_samples_of(self.data.train(), self.plan, under), sets)

    def tuned(self, name: str, shared: NodeClassifier, record: Record = _nowhere) -> NodeClassifier:
        """The node `name`, fine-tuned from the backbone `shared` by this process alone."""
        s, about = self.settings, self.about(name)
        schedule = Schedule(s.tune_epochs, s.tune_lr, s.batch, s.seed + crc32(name.encode()))
        torch.manual_seed(schedule.seed)  # and heads, whether the backbone was trained just now or before a break
        if name == FLAT:  # which the backbone was trained with: nothing is left to tune
            return shared
        under = None if name == GATE else self.plan.choices_at(name).tolist()
        node, told = shared.for_choices(about.choices, under), self._told(name, s.tune_epochs, record)
        return fit(node, about.fitting, about.sets["valid"], schedule, self.work / f"{name}.pt", told)

    def side_by_side(self, chosen: Sequence[str], shared: NodeClassifier) -> None:
        """Each of several processes tunes its share of the nodes; all return when the last is done."""
        if self.processes.count == 1:
            return
        self.data.prepare(chosen)
        for name in chosen[self.processes.rank :: self.processes.count]:
            self.tuned(name, shared)
        self.processes.wait()

    def _told(self, name: str, epochs: int, record: Record) -> Record:
        def told(epoch: int, metrics: Metrics) -> None:
            record(epoch, metrics)
            self.reporter.epoch(name, epoch, epochs, metrics)

        return told
