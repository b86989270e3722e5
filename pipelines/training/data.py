"""Which images a training sees: training, validation and cross-validation sets, kept apart by seed and picture."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...datasets import OF_ATOMS, OF_PATTERN, SOURCES, Corruption, NonPatternDataset, PatternDataset, photo_content
from ...hierarchy import GROUP_NAMES, CompiledTree
from ...models.bundle import GATE
from ...models.evidence.groups import MOST, ORDERS, highest_within
from ..generating.evidence import EvidenceSet, gather, held
from ..generating.parts import Dataset, Part, digests
from ..generating.processes import ALONE, Processes
from ..generating.stored import JoinedRows, picked
from .fit import TOLERANCES, Samples
from .settings import TrainSettings

# Seeds of `hier evaluate` are below these, so that no training ever sees a test image.
TRAIN, VALID, CROSS = 10**12, 2 * 10**12, 3 * 10**12
CLEARER, CLEAR = 2.0, 0.03  # a larger group misfits by more than so many times as much, and this besides
PASTED = ("photos", "atoms", "noise")  # sources of which cells of whole pixels are made
ROUGH = (0.0, 5.0)  # severities of workmanship
ROUGHER, ROUGHEST = (0.45, 0.2), (4.0, 5.0)  # shares of the rough ones that are made rougher still, once and again
MARGIN = 0.02  # misfit from which a larger group is broken; what else it takes to be told apart says `stands_out`
SOME = 24  # tolerances at which an image may come below a node
SIZE = 256  # px of validation and cross-validation images

AUGMENTATION = (
    Corruption("thermal", (0, 4), 0.1),
    Corruption("vacancies", (0, 4), 0.1),
    Corruption("invert", (1, 1), 0.2),
    Corruption("shadow", (0, 5), 0.05),
    Corruption("vignette", (0, 5), 0.04),
    Corruption("lines", (0, 5), 0.04),
    Corruption("drift", (0, 4), 0.15),
    Corruption("jitter", (0, 4), 0.1),
    Corruption("blur", (0, 4), 0.3),
    Corruption("contrast", (0, 4), 0.3),
    Corruption("slope", (0, 4), 0.15),
    Corruption("shot", (0, 3.5), 0.12),
    Corruption("noise", (0, 5), 0.4),
)


def corruptions_of(s: TrainSettings) -> tuple[Corruption, ...]:
    """What training images go through: `AUGMENTATION`, with `s.disorder` as the share of disordered ones.

    Workmanship is done to the share `s.workmanship` of them, augmented or not.
    """
    steps = AUGMENTATION if s.augment else ()
    made = tuple(replace(c, share=s.disorder) if c.name in OF_ATOMS else c for c in steps)
    if not s.workmanship:
        return made
    return (
        *made,
        Corruption(OF_PATTERN, ROUGH, s.workmanship),
        *(Corruption(OF_PATTERN, ROUGHEST, share * s.workmanship) for share in ROUGHER),
    )


def _even(count: int, parts: int) -> list[int]:
    return [len(range(k, count, parts)) for k in range(parts)]


def _share(counts: Sequence[int], share: float) -> list[int]:
    """How many of each of `counts` make up `share` of them all; each is off its own share by less than one."""
    upto = np.floor(share * np.cumsum(counts) + 0.5).astype(int)
    return [int(n) for n in np.diff(upto, prepend=0)]


def _joined(parts: Iterable[tuple[Dataset, int, bool]], photos: Path | None, split: str) -> list[Part]:
    """Parts with these numbers of images, whitened or not. A part begins at the index where the one before it ends.

    The label of an image follows from its index, so labels are as even as can be in each part and in all of them.
    """
    made: list[Part] = []
    for dataset, count, whitened in parts:
        start = made[-1].stop if made else 0
        if count:
            made.append(Part(dataset, start, start + count, photos, split, whitened))
    return made


def training_parts(s: TrainSettings) -> list[Part]:
    """`s.count` patterns, equally from every source and size; see `_joined` for their labels.

    Shares of pasted patterns and of whitened photographs are next to one another, so that labels are even in them too.
    """
    pairs = [(source, size) for source in s.source for size in s.sizes]
    corruptions = corruptions_of(s)
    counts = _even(s.count, len(pairs))
    can_paste = [source in PASTED for source, _ in pairs]
    pasted = _share([n * can for n, can in zip(counts, can_paste, strict=True)], s.pasted)
    folded = [n - m for n, m in zip(counts, pasted, strict=True)]
    parts: list[tuple[Dataset, int, bool]] = []
    every = [True] * len(pairs)
    for changes, able, given in (
        ({"near_misses": s.near_misses}, every, folded), ({"construction": "paste"}, can_paste, pasted),
    ):  # fmt: skip
        used = [k for k, can in enumerate(able) if can]
        shares = [given[k] for k in used]
        datasets = [
            PatternDataset(
                pairs[k][0], TRAIN + 1000 * s.seed + k, pairs[k][1], margin=MARGIN, corruptions=corruptions, **changes
            )
            for k in used
        ]
        white = _share([n * (d.source == "photos") for n, d in zip(shares, datasets, strict=True)], s.whitened)
        plain = [n - m for n, m in zip(shares, white, strict=True)]
        for which, whitened in ((plain, False), (white, True)):
            parts += [(d, n, whitened) for d, n in zip(datasets, which, strict=True)]
    return _joined(parts, s.photos, "train")


def negative_parts(s: TrainSettings, split: str) -> list[Part]:
    """Images that are not periodic, half as many as patterns."""
    base, count = (TRAIN, s.count // 2) if split == "train" else (VALID, s.valid_count // 2)
    sizes = s.sizes if split == "train" else (SIZE,)
    corruptions = corruptions_of(s) if split == "train" else ()
    datasets = [
        NonPatternDataset(base + 1000 * s.seed + k, size, corruptions=corruptions) for k, size in enumerate(sizes)
    ]
    return _joined(((d, n, False) for d, n in zip(datasets, _even(count, len(sizes)), strict=True)), s.photos, split)


def validation_parts(s: TrainSettings) -> list[Part]:
    """Clean patterns of the trained sources, from pictures that are not trained on."""
    counts = _even(s.valid_count, len(s.source))
    parts = [
        (PatternDataset(source, VALID + s.seed, SIZE), n, False) for source, n in zip(s.source, counts, strict=True)
    ]
    return _joined(parts, s.photos, "valid")


def cross_parts(s: TrainSettings) -> dict[str, list[Part]]:
    """Cross-validation as the paper has it: one set of every source, trained on or not."""
    return {
        source: [Part(PatternDataset(source, CROSS + s.seed, SIZE), 0, s.cross_count, s.photos, "valid")]  # type: ignore[arg-type]
        for source in SOURCES
    }


def described(s: TrainSettings, parts: Sequence[Part]) -> tuple[str, str, dict[str, object], int]:
    """A set of images as MLflow shows it: name, digest, what it was made from, and how many images it has.

    Two sets of one digest are the same, to the bit; photographs count by what they hold.
    """
    source = {"source": list(s.source), "seed": s.seed, "sizes": list(s.sizes), "photographs": s.photos is not None}
    whole = hashlib.sha256(repr(digests(parts)).encode()).hexdigest()[:12]
    return "+".join(s.source), whole, source, sum(p.stop - p.start for p in parts)


def photographs(s: TrainSettings) -> str:
    """Which photographs patterns are made from: a digest of the user's, ``built-in``, or ``none``."""
    if "photos" not in s.source:
        return "none"
    if s.photos is None:
        return "built-in"
    own = [photo_content(s.photos, split) for split in ("train", "valid")]
    return hashlib.sha256(repr(own).encode()).hexdigest()[:8]


class TrainingData:
    """Evidence of all sets, each made when first asked for and kept in `cache`."""

    def __init__(
        self, settings: TrainSettings, cache: Path, device: str, stage: Callable[[str, int], Callable[[int], None]],
        processes: Processes = ALONE,
    ) -> None:  # fmt: skip
        self.settings, self.cache, self.device, self.stage = settings, cache, device, stage
        self.processes = processes
        self._sets: dict[str, EvidenceSet] = {}

    def _get(self, name: str, parts: Sequence[Part]) -> EvidenceSet:
        if name not in self._sets:
            advance = self.stage(f"images: {name}", sum(p.stop - p.start for p in parts))
            evidence = gather(parts, self.cache, self.device, advance, self.processes)
            if self.device.startswith("cuda"):  # of the memory that is free, half is left to the networks
                evidence = held(evidence, self.device, torch.cuda.mem_get_info(self.device)[0] / 2)
            self._sets[name] = evidence
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

    def prepare(self, nodes: Sequence[str]) -> None:
        """Make all that `nodes` need, so that no process has to wait for another when it trains one of them."""
        if any(name != GATE for name in nodes):
            self.cross()
        if GATE in nodes:
            for split in ("train", "valid"):
                self.gate(split)

    def gate(self, split: str) -> Samples:
        """Samples of the gate: the patterns of `split`, and images that are not periodic."""
        patterns = self.train() if split == "train" else self.valid()
        others = self._get(f"{split}, no patterns", negative_parts(self.settings, split))
        return Samples(
            JoinedRows(others.maps, patterns.maps),
            JoinedRows(others.numbers, patterns.numbers),
            torch.cat([torch.zeros(len(others)), torch.ones(len(patterns))]).long(),
        )


def samples_of(
    evidence: EvidenceSet, plan: CompiledTree, node: str | None = None, weights: Tensor | None = None
) -> Samples:
    """Samples of all labels of a tree (None), or of a node: the images below it, with its choices as targets.

    `weights` (N,) are of all images.
    """
    choice = _choices(plan, node)
    targets = torch.from_numpy(choice[[plan.labels.index(name) for name in evidence.labels]])
    keep = (targets >= 0).nonzero().flatten()
    own = None if weights is None else weights[keep]
    return Samples(picked(evidence.maps, keep), picked(evidence.numbers, keep), targets[keep], weights=own)


def training_samples_of(
    evidence: EvidenceSet, plan: CompiledTree, node: str | None = None, within: Tensor | None = None
) -> Samples:
    """The same to train on, with misfits: also images that come below the node at some tolerance.

    An image is not asked for without a tolerance where its own group does not stand out, see `stands_out`. `within` are
    the `groups_within` tolerances of all images, where they are known already.
    """
    if evidence.misfits is None:
        return samples_of(evidence, plan, node)
    choice, own = _choices(plan, node), torch.tensor([GROUP_NAMES.index(name) for name in evidence.labels])
    of_group = torch.from_numpy(choice[[plan.labels.index(name) for name in GROUP_NAMES]])
    misfits = evidence.misfits
    targets = torch.where(stands_out(misfits, own), of_group[own], -1)
    asked = of_group[groups_within(misfits).long() if within is None else within.long()] >= 0
    keep = ((targets >= 0) | asked.any(0)).nonzero().flatten()
    rows = picked(evidence.maps, keep), picked(evidence.numbers, keep)
    return Samples(*rows, targets[keep], misfits[keep], of_group)


def groups_within(misfits: Tensor) -> Tensor:
    """The group at each of `SOME` tolerances, evenly spread over `TOLERANCES` on a logarithmic scale: (SOME, N) int8.

    From misfits (N, 18); indices into `GROUP_NAMES`.
    """
    low, high = (math.log10(t) for t in TOLERANCES)
    each = torch.logspace(low, high, SOME)
    return torch.stack([highest_within(misfits[:, :-1], t.expand(len(misfits))).to(torch.int8) for t in each])


def stands_out(misfits: Tensor, own: Tensor) -> Tensor:
    """Whether groups `own` (N,), indices into `GROUP_NAMES`, fit clearly better than any larger one: (N,).

    By misfits (N, 18): nothing could tell a rough pattern of a group from a better one that nearly has it.
    """
    orders = misfits.new_tensor(ORDERS)
    larger = orders > orders[own][:, None]
    beyond = torch.where(larger, misfits[:, :-1], MOST).amin(1)
    clear: Tensor = beyond > CLEARER * misfits.gather(1, own[:, None])[:, 0] + CLEAR
    return clear


def _choices(plan: CompiledTree, node: str | None) -> NDArray[np.int64]:
    """The choice of a node, or of the whole tree, for each of its labels; -1 for those that are not below it."""
    if node is None:
        return np.arange(len(plan.labels))
    return plan.choices_at(node)
