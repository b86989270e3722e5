"""What all rows of a benchmark have in common, the clock of one, and what comes of one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import NonNegativeFloat, TypeAdapter
from torch import Tensor

from ...datasets.fresh import FreshPhotos
from ...hierarchy import GROUP_NAMES, CompiledTree
from ...hierarchy.kept import keep_text, kept_text, make_room
from ...models.systems import Sizes, System
from ..training.fit import Reporter
from ..training.loop import Metrics
from .data import SETS, ImageSet
from .settings import Preset

Report = Callable[[str, int, int, Metrics], None]


def sizes_of(preset: Preset) -> Sizes:
    """How large networks are built."""
    return Sizes(preset.size, preset.width, preset.networks, preset.pretrained)


@dataclass
class Bench:
    """What all rows have in common."""

    preset: Preset
    sets: Mapping[str, ImageSet]
    device: str
    reporter: Reporter
    fresh: FreshPhotos | None = None

    @property
    def sizes(self) -> Sizes:
        """See `sizes_of`."""
        return sizes_of(self.preset)

    def places(self, plan: CompiledTree) -> Tensor:
        """The groups (17,) as indices into the tree's list."""
        return torch.tensor([plan.labels.index(name) for name in GROUP_NAMES])

    def targets(self, name: str, plan: CompiledTree) -> Tensor:
        """Labels (N,) of a set, as indices into the tree's list; of several acceptable ones the first."""
        places = {label: k for k, label in enumerate(plan.labels)}
        return torch.tensor([places[label[0]] for label in self.sets[name].labels])

    def acceptable(self, name: str, plan: CompiledTree) -> NDArray[np.bool_]:
        """Which labels (N, L) of the tree are right answers to the images of a set."""
        return np.array([[label in right for label in plan.labels] for right in self.sets[name].labels])

    def measured(self, name: str, count: int) -> int:
        """How many images of a set are measured: no more training images than validation images."""
        return min(count, self.preset.valid_count) if name == "train" else len(self.sets[name])

    def asked(self, system: System) -> tuple[str, ...]:
        """The sets that a system can answer: hand-picked centres are known of our own images alone."""
        return SETS if system.centred else tuple(self.sets)

    def epochs(self, name: str) -> int:
        """How many a row has."""
        return self.preset.epochs_of.get(name, self.preset.epochs)

    def rate(self, name: str) -> float:
        """A row's highest learning rate."""
        return self.preset.lr_of.get(name, self.preset.lr)


@dataclass(frozen=True)
class Outcome:
    """What came of a row: log-probabilities (N, K) of each set, and what it took.

    `curve` has the share that was right in training, epoch by epoch, of each network by its part's name. If the row
    gives `probabilities`, all of them count, else only which answer is the likeliest.
    """

    logp: dict[str, Tensor]
    images_seen: int
    seconds: float
    parameters: int
    curve: dict[str, list[float]] = field(default_factory=dict)
    probabilities: bool = True


@dataclass
class Clock:
    """Seconds of every epoch of every part, kept on disk so that an interruption does not shorten a training."""

    file: Path
    started: float = field(default_factory=time.monotonic)

    def tick(self, part: str, epoch: int) -> None:
        """An epoch ends, unless it ended before the interruption."""
        known = self.read()
        known.setdefault(f"{part} {epoch}", time.monotonic() - self.started)
        self.started = time.monotonic()
        keep_text(self.file, json.dumps(known))

    def read(self) -> dict[str, float]:
        """The seconds that are kept; none, with a warning, if the file is damaged."""
        text = kept_text(self.file, "the seconds of earlier epochs are not counted")
        if text is None:
            make_room(self.file)
            self.file.unlink(missing_ok=True)
            return {}
        return TypeAdapter(dict[str, NonNegativeFloat]).validate_json(text)

    def total(self) -> float:
        """The sum over all epochs."""
        return sum(self.read().values())
