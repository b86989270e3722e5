"""Evidence that is made as a training asks for it, each image once: nothing is kept, on disk or in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...hierarchy import CompiledTree
from ...models.bundle import FLAT, GATE
from ..generating.evidence import EvidenceSet
from ..generating.parts import Arrays, Part, evidence_of
from ..generating.workers import in_order
from .data import groups_within, negative_parts, training_parts, training_samples_of
from .fit import Samples
from .settings import TrainSettings

AHEAD = 8  # batches of images that are drawn in a random order and made together, those of one dataset at a time
Job = tuple[tuple[Part, tuple[int, ...]], NDArray[np.int64]]


@dataclass(frozen=True)
class Fresh:
    """A batch of evidence that was never seen before; the labels of its first `patterns` rows are groups."""

    evidence: EvidenceSet
    patterns: int

    def samples(self, plan: CompiledTree, node: str | None = None) -> Samples:
        """Samples of all labels (None or the flat head), of the gate, or of a node."""
        found = self.evidence
        if node == GATE:
            return Samples(found.maps, found.numbers, (torch.arange(len(found)) < self.patterns).long())
        return training_samples_of(self._own, plan, None if node == FLAT else node, self._within)

    @cached_property
    def _own(self) -> EvidenceSet:
        found, n = self.evidence, self.patterns
        return EvidenceSet(found.maps[:n], found.numbers[:n], found.labels[:n], self._misfits[:n])

    @property
    def _misfits(self) -> Tensor:
        assert self.evidence.misfits is not None
        return self.evidence.misfits

    @cached_property
    def _within(self) -> Tensor:
        return groups_within(self._misfits[: self.patterns])


@dataclass(frozen=True)
class Stream:
    """The batches of `settings.count` new patterns an epoch, and of half as many `others`, images without a pattern.

    An image depends on its dataset, seed and index alone, and each epoch has indices of its own, `before` epochs after
    the first: an image is seen once, and is the same whenever an epoch is resumed.
    """

    settings: TrainSettings
    device: str
    batch: int
    others: bool = False
    before: int = 0

    def parts(self, epoch: int) -> tuple[list[Part], int]:
        """The images of an epoch, patterns first, and the number of parts with patterns."""
        s, shift = self.settings, (self.before + epoch) * self.settings.count
        patterns, others = training_parts(s), negative_parts(s, "train") if self.others else []
        return [replace(p, start=p.start + shift, stop=p.stop + shift) for p in patterns + others], len(patterns)

    @property
    def steps(self) -> int:
        """Batches in an epoch; the remainder is left out."""
        return max(1, sum(part.stop - part.start for part in self.parts(0)[0]) // self.batch)

    def batches(self, epoch: int, first: int) -> Iterator[Fresh]:
        """Those of an epoch from batch `first` on, in an order drawn by torch's generator."""
        parts, patterns = self.parts(epoch)
        ends = np.cumsum([part.stop - part.start for part in parts])
        order = torch.randperm(int(ends[-1])).numpy()[: self.steps * self.batch]
        begin = first - first % AHEAD
        blocks = [order[k * self.batch : (k + AHEAD) * self.batch] for k in range(begin, self.steps, AHEAD)]
        jobs = ((job, self.device) for block in blocks for job, _ in _jobs(parts, ends, block))
        workers = os.cpu_count() or 1 if self.device == "cpu" else 1
        with closing(in_order(_make, jobs, workers)) as made:
            for k, block in zip(range(begin, self.steps, AHEAD), blocks, strict=True):
                work = _jobs(parts, ends, block)
                found = (map(torch.as_tensor, next(made)) for _ in work)
                maps, numbers, misfits = (torch.cat(tensors) for tensors in zip(*found, strict=True))
                labels = [part.dataset.label(i) for (part, indices), _ in work for i in indices]
                known = int((block < ends[patterns - 1]).sum())  # they come first
                places = torch.from_numpy(np.argsort(np.concatenate([at for _, at in work])))
                for i, rows in enumerate(torch.split(places, self.batch), k):
                    if i >= first:
                        at = rows.sort().values
                        on = at.to(maps.device)
                        names = tuple(labels[row] for row in at.tolist())
                        chosen = EvidenceSet(maps[on], numbers[on], names, misfits[on].cpu())
                        yield Fresh(chosen, int((at < known).sum()))


def _jobs(parts: Sequence[Part], ends: NDArray[np.int64], block: NDArray[np.int64]) -> list[Job]:
    """The images of a block, those of a part together, and their places in the block."""
    of = np.searchsorted(ends, block, "right")
    places = [np.flatnonzero(of == p) for p in np.unique(of)]
    return [
        ((parts[of[at[0]]], tuple((block[at] - ends[of[at[0]]] + parts[of[at[0]]].stop).tolist())), at) for at in places
    ]


def _make(job: tuple[tuple[Part, tuple[int, ...]], str]) -> Arrays | tuple[Tensor, Tensor, Tensor]:
    """Evidence: arrays, which travel between processes, or tensors that stay on a card."""
    (part, indices), device = job
    found = evidence_of(part, indices, device)
    if device != "cpu":
        return found
    maps, numbers, misfits = (x.numpy() for x in found)
    return maps, numbers, misfits
