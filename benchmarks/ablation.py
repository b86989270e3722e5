"""What remains of the accuracy when scale, lattice metric or symmetry carry no information.

    python benchmarks/ablation.py [--model DIR] [--photos DIR] [--count 1700] [--seed 7] [--cache DIR]

Two ways. By evidence: one part of what the nodes see is exchanged between the test images at random, all else is left
(permutation importance, Breiman 2001). By images: patterns whose cells have one area, or which all lie on square (or
all on hexagonal) lattices, so that scale (or metric) is the same for every group that such a lattice can carry.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import torch
from hier.datasets import PatternDataset, split_pool
from hier.models.bundle import BUNDLED
from hier.models.classifier import Classifier
from hier.models.evidence.maps import MAPS, WEIGHTINGS
from hier.models.evidence.representation import CELL, GROUP_SCORES, GROUP_STRAINS, SymmetryEvidence
from hier.pipelines.generating.evidence import EvidenceSet, gather
from hier.pipelines.generating.parts import Part
from hier.pipelines.measuring.evaluate import decide

PEAKS = len(MAPS) * len(WEIGHTINGS)
METRIC = slice(PEAKS, PEAKS + len(MAPS))
LENIENT = 0.02  # relative change of the metric under a fourfold (or sixfold) rotation that still counts as none
BATCH = 16


def accuracy(classifier: Classifier, found: EvidenceSet) -> float:
    best = decide(classifier, found).winners.cpu()
    return float(np.mean([classifier.labels[i] == name for i, name in zip(best, found.labels, strict=True)]))


def exchanged(found: EvidenceSet, change: Callable[[EvidenceSet, torch.Tensor], None]) -> EvidenceSet:
    copy = replace(found, maps=found.maps.clone(), numbers=found.numbers.clone())
    change(copy, torch.randperm(len(found), generator=torch.Generator().manual_seed(0)))
    return copy


def _scale(e: EvidenceSet, order: torch.Tensor) -> None:
    e.numbers[:, CELL] = e.numbers[order, CELL]


def _metric(e: EvidenceSet, order: torch.Tensor) -> None:
    for part in (METRIC, GROUP_STRAINS):
        e.numbers[:, part] = e.numbers[order, part]


def _symmetry(e: EvidenceSet, order: torch.Tensor) -> None:
    e.maps[:] = e.maps[order]
    for part in (slice(PEAKS), GROUP_SCORES):
        e.numbers[:, part] = e.numbers[order, part]


def on_lattice(dataset: PatternDataset, rotation: int, groups: tuple[str, ...], amount: int) -> EvidenceSet:
    """The first images of `groups` whose lattices are square (rotation 4) or hexagonal (6), equally many of each."""
    W = np.array({4: [[0, -1], [1, 0]], 6: [[1, -1], [1, 0]]}[rotation])
    represent, maps, numbers, labels = SymmetryEvidence(), [], [], []
    for name in groups:
        own = replace(dataset, groups=(name,))
        chosen: list[int] = []
        for index in count():
            frame = own.draw(index, 0).frame.basis
            a, b = frame.T
            frame = np.stack([a, -b if a @ b > 0 else b], 1)
            metric = frame.T @ frame
            if np.abs(W.T @ metric @ W - metric).max() < LENIENT * abs(np.linalg.det(frame)):
                chosen.append(index)
            if len(chosen) == -(-amount // len(groups)):
                break
        for k in range(0, len(chosen), BATCH):
            found = represent(own.batch(chosen[k : k + BATCH]))
            maps.append(found.maps.half())
            numbers.append(found.numbers)
        labels += [name] * len(chosen)
    return EvidenceSet(torch.cat(maps), torch.cat(numbers), tuple(labels))


SQUARE = ("p1", "p2", "pm", "pg", "pmm", "pmg", "pgg", "cm", "cmm", "p4", "p4m", "p4g")
HEXAGONAL = ("p1", "p2", "cm", "cmm", "p3", "p3m1", "p31m", "p6", "p6m")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=BUNDLED)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--count", type=int, default=1700)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--cache", type=Path, help="folder that keeps what was made of the images")
    given = parser.parse_args()
    classifier = Classifier.load(given.model)
    print("| % correct | photos | atoms |\n|---|---|---|")
    plain = {
        s: PatternDataset(s, given.seed, pool=split_pool(given.photos, "valid") if s == "photos" else None)
        for s in ("photos", "atoms")
    }

    def row(name: str, made: Callable[[str], EvidenceSet]) -> None:
        print(f"| {name} | {' | '.join(f'{100 * accuracy(classifier, made(s)):.2f}' for s in plain)} |", flush=True)

    def parts(cells: tuple[float, float]) -> dict[str, EvidenceSet]:
        bare = {s: replace(d, pool=None, cells=cells) for s, d in plain.items()}
        return {s: gather([Part(d, 0, given.count, given.photos, "valid")], given.cache) for s, d in bare.items()}

    found = parts((4.0, 60.0))
    row("all evidence", lambda s: found[s])
    row("scale exchanged between images", lambda s: exchanged(found[s], _scale))
    row("metric exchanged between images", lambda s: exchanged(found[s], _metric))
    row("symmetry exchanged between images", lambda s: exchanged(found[s], _symmetry))
    same = parts((20.0, 20.0))
    row("images: every cell of one area", lambda s: same[s])
    row("images: 12 groups, all lattices square", lambda s: on_lattice(plain[s], 4, SQUARE, given.count))
    row("images: 9 groups, all lattices hexagonal", lambda s: on_lattice(plain[s], 6, HEXAGONAL, given.count))


if __name__ == "__main__":
    main()
