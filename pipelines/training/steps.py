"""The steps of a training: a backbone on all groups, then each node fine-tuned from it, by one process or several."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from zlib import crc32

import torch
from torch import Tensor

from ...hierarchy import CompiledTree, Tree, compile_tree
from ...models.bundle import FLAT, GATE, GATE_CHOICES
from ...models.node import NodeClassifier, NodeSettings
from ..generating.processes import Processes
from .data import TrainingData, groups_within, samples_of, training_samples_of
from .fit import Reporter, Samples, fit
from .loop import Metrics, Schedule
from .settings import BATCH, SettingsError, TrainSettings

Record = Callable[[int, Metrics], None]


def nowhere(epoch: int, metrics: Metrics) -> None:
    """Records nothing."""


@dataclass(frozen=True)
class About:
    """A node: its level and choices, and the sets that it is scored on, by name."""

    level: str
    choices: tuple[str, ...]
    sets: Mapping[str, Samples]


@dataclass(frozen=True)
class Steps:
    """Each step leaves a checkpoint in `work`; one that is finished is read from there, whoever made it."""

    settings: TrainSettings  # those `on` the device
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

    @property
    def batch(self) -> int:
        """Images in a step."""
        return self.settings.batch or BATCH

    def backbone(self, record: Record = nowhere) -> NodeClassifier:
        """The network that answers all labels, trained by all processes together."""
        s, first = self.settings, self.fresh()
        everything, held_out = self.fitting(FLAT), samples_of(self.data.valid(), self.plan)
        told = self.told("all groups", s.epochs, record)
        schedule = Schedule(s.epochs, s.lr, self.batch, s.seed)
        return fit(first, everything, held_out, schedule, self.work / "backbone.pt", told, True, self.processes)

    def fresh(self) -> NodeClassifier:
        """The backbone before it is trained."""
        s = self.settings
        torch.manual_seed(s.seed)  # weights begin alike, whatever was drawn before
        return NodeClassifier(NodeSettings(self.plan.labels, s.backbone), s.pretrained).to(self.device)

    def fitting(self, name: str) -> Samples:
        """What the node `name` is fitted to; the flat head stands for the backbone."""
        if name == GATE:
            return self.data.gate("train")
        return training_samples_of(self.data.train(), self.plan, None if name == FLAT else name, self._within)

    @cached_property
    def _within(self) -> Tensor | None:
        misfits = self.data.train().misfits
        return None if misfits is None else groups_within(misfits)

    def images(self, name: str) -> int:
        """The number of images that the node `name` is fitted to."""
        return len(self.fitting(name))

    def check(self, chosen: Sequence[str]) -> None:
        """SettingsError for nodes that too few images come to; a network needs two to normalise its features."""
        few = {name: n for name in chosen if name != GATE and (n := self.images(name)) < 2}
        if few:
            found = ", ".join(f"{name} ({n})" for name, n in few.items())
            raise SettingsError(
                f"count = {self.settings.count} gives these nodes fewer than two images to train on: {found}. Give more"
            )

    def about(self, name: str) -> About:
        """What is known of the node `name` before it is trained."""
        if name == GATE:
            return About("gate", GATE_CHOICES, {"valid": self.data.gate("valid")})
        under = None if name == FLAT else name  # of all labels, or of one node
        level = "flat" if under is None else self.tree.level_of(name)
        choices = self.plan.labels if under is None else self.tree.choices(name)
        sets = {"valid": samples_of(self.data.valid(), self.plan, under)}
        sets |= {f"cross_{source}": samples_of(e, self.plan, under) for source, e in self.data.cross().items()}
        return About(level, choices, sets)

    def begun(self, name: str, shared: NodeClassifier) -> NodeClassifier:
        """The node `name` before it is tuned; the flat head is the backbone itself."""
        if name == FLAT:
            return shared
        torch.manual_seed(self.seed_of(name))  # whether the backbone was trained just now or before a break
        return shared.for_choices(
            self.about(name).choices, None if name == GATE else self.plan.choices_at(name).tolist()
        )

    def seed_of(self, name: str) -> int:
        """The seed of a node's training."""
        return self.settings.seed + crc32(name.encode())

    def tuned(self, name: str, shared: NodeClassifier, record: Record = nowhere) -> NodeClassifier:
        """The node `name`, fine-tuned from the backbone `shared` by this process alone."""
        s, node = self.settings, self.begun(name, shared)
        if name == FLAT:  # which the backbone was trained with: nothing is left to tune
            return node
        schedule = Schedule(s.tune_epochs, s.tune_lr, self.batch, self.seed_of(name))
        told, held_out = self.told(name, s.tune_epochs, record), self.about(name).sets["valid"]
        return fit(node, self.fitting(name), held_out, schedule, self.work / f"{name}.pt", told)

    def side_by_side(self, chosen: Sequence[str], shared: NodeClassifier) -> None:
        """Each of several processes tunes its share of the nodes; all return when the last is done."""
        if self.processes.count == 1:
            return
        self.data.prepare(chosen)
        for name in chosen[self.processes.rank :: self.processes.count]:
            self.tuned(name, shared)
        self.processes.wait()

    def told(self, name: str, epochs: int, record: Record) -> Record:
        """Reports the epochs of a step to the screen and to `record`."""

        def both(epoch: int, metrics: Metrics) -> None:
            record(epoch, metrics)
            self.reporter.epoch(name, epoch, epochs, metrics)

        return both
