"""Which images a training sees: training, validation and cross-validation sets, kept apart by seed and picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ...datasets import OF_ATOMS, SOURCES, Corruption, NonPatternDataset, PatternDataset
from ...hierarchy import CompiledTree
from ..generating.evidence import EvidenceSet, Part, gather
from .fit import Samples
from .settings import TrainSettings

# Seeds of `hier evaluate` are below these, so that no training ever sees a test image.
TRAIN, VALID, CROSS = 10**12, 2 * 10**12, 3 * 10**12
SIZE = 256  # px of validation and cross-validation images

AUGMENTATION = (
    Corruption("thermal", (0, 4), 0.1),
    Corruption("vacancies", (0, 4), 0.1),
    Corruption("invert", (1, 1), 0.2),
    Corruption("drift", (0, 4), 0.15),
    Corruption("jitter", (0, 4), 0.1),
    Corruption("blur", (0, 4), 0.3),
    Corruption("contrast", (0, 4), 0.3),
    Corruption("slope", (0, 4), 0.15),
    Corruption("shot", (0, 3.5), 0.12),
    Corruption("noise", (0, 5), 0.4),
)


def corruptions_of(s: TrainSettings) -> tuple[Corruption, ...]:
    """What training images go through: `AUGMENTATION`, with `s.disorder` as the share of disordered ones."""
    if not s.augment:
        return ()
    return tuple(replace(c, share=s.disorder) if c.name in OF_ATOMS else c for c in AUGMENTATION)


def _shares(count: int, parts: int) -> list[int]:
    return [len(range(k, count, parts)) for k in range(parts)]


def training_parts(s: TrainSettings) -> list[Part]:
    """`s.count` patterns: equally from every source and size, one in three of each by pasting."""
    pairs = [(source, size) for source in s.source for size in s.sizes]
    corruptions = corruptions_of(s)
    parts = []
    for k, ((source, size), count) in enumerate(zip(pairs, _shares(s.count, len(pairs)), strict=True)):
        dataset = PatternDataset(source, TRAIN + 1000 * s.seed + k, size, corruptions=corruptions)
        pasted = round(s.pasted * count)
        fold = replace(dataset, near_misses=s.near_misses)
        paste = replace(dataset, construction="paste")
        white = s.whitened if source == "photos" else 0.0
        for made, of in ((fold, count - pasted), (paste, pasted)):
            first = round((1 - white) * of)
            parts.append(Part(made, 0, first, s.photos, "train"))
            parts.append(Part(made, first, of, s.photos, "train", whitened=True))
    return parts


def negative_parts(s: TrainSettings, split: str) -> list[Part]:
    """Images that are no pattern, half as many as patterns."""
    base, count = (TRAIN, s.count // 2) if split == "train" else (VALID, s.valid_count // 2)
    sizes = s.sizes if split == "train" else (SIZE,)
    corruptions = corruptions_of(s) if split == "train" else ()
    return [
        Part(NonPatternDataset(base + 1000 * s.seed + k, size, corruptions=corruptions), 0, n, s.photos, split)
        for k, (size, n) in enumerate(zip(sizes, _shares(count, len(sizes)), strict=True))
    ]


def validation_parts(s: TrainSettings) -> list[Part]:
    """Clean patterns of the trained sources, from pictures that are not trained on."""
    counts = _shares(s.valid_count, len(s.source))
    return [
        Part(PatternDataset(source, VALID + s.seed, SIZE), 0, n, s.photos, "valid")
        for source, n in zip(s.source, counts, strict=True)
    ]


def cross_parts(s: TrainSettings) -> dict[str, list[Part]]:
    """Cross-validation as the paper has it: one set of every source, trained on or not."""
    return {
        source: [Part(PatternDataset(source, CROSS + s.seed, SIZE), 0, s.cross_count, s.photos, "valid")]  # type: ignore[arg-type]
        for source in SOURCES
    }


class TrainingData:
    """Evidence of all sets, each made when first asked for and kept in `cache`."""

    def __init__(
        self, settings: TrainSettings, cache: Path, device: str, stage: Callable[[str, int], Callable[[int], None]]
    ) -> None:
        self.settings, self.cache, self.device, self.stage = settings, cache, device, stage
        self._sets: dict[str, EvidenceSet] = {}

    def _get(self, name: str, parts: Sequence[Part]) -> EvidenceSet:
        if name not in self._sets:
            advance = self.stage(f"images: {name}", sum(p.stop - p.start for p in parts))
            self._sets[name] = gather(parts, self.cache, self.device, advance)
        return self._sets[name]

    def train(self) -> EvidenceSet:
        """Training patterns."""
        return self._get("train", training_parts(self.settings))

    def valid(self) -> EvidenceSet:
        """Validation patterns."""
        return self._get("valid", validation_parts(self.settings))

    def cross(self) -> dict[str, EvidenceSet]:
        """Cross-validation patterns by source."""
        return {source: self._get(f"cross {source}", parts) for source, parts in cross_parts(self.settings).items()}

    def gate(self, split: str) -> Samples:
        """Samples of the gate: the patterns of `split` and images that are none."""
        patterns = self.train() if split == "train" else self.valid()
        others = self._get(f"{split}, no patterns", negative_parts(self.settings, split))
        return Samples(
            torch.cat([others.maps, patterns.maps]),
            torch.cat([others.numbers, patterns.numbers]),
            torch.cat([torch.zeros(len(others)), torch.ones(len(patterns))]).long(),
        )


def samples_of(evidence: EvidenceSet, plan: CompiledTree, node: str | None = None) -> Samples:
    """Samples of all labels of a tree (None), or of a node: the images below it, with its choices as targets."""
    labels = np.array([plan.labels.index(name) for name in evidence.labels])
    targets = labels if node is None else plan.answers[plan.nodes.index(node)][labels].astype(np.int64)
    keep = torch.from_numpy(np.flatnonzero(targets >= 0))
    return Samples(evidence.maps[keep], evidence.numbers[keep], torch.from_numpy(targets)[keep])
