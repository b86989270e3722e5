"""Accuracy of a model, line by line: sources, constructions, noise, distortion, sizes, numbers of cells, corruptions.

    python benchmarks/accuracy.py [--model DIR] [--photos DIR] [--count 1700] [--seed 7] [--only WORD...]

Prints a Markdown table as it goes. Seeds below 10**9 are never used in training, and photographs come from the
validation split. `hier evaluate` gives each line alone, with the same figures.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from hier.datasets import CORRUPTIONS, SOURCES, Corruption, NonPatternDataset, PatternDataset
from hier.models.bundle import BUNDLED
from hier.models.classifier import Classifier
from hier.pipelines.evaluate import evaluate_patterns, evaluate_refusals

STEP = 0.06  # of the grey range: deviation of the noise at severity 1


def lines(seed: int) -> Iterator[tuple[str, PatternDataset]]:
    """Names and datasets of all lines."""
    plain = {source: PatternDataset(source, seed) for source in SOURCES}
    for source, dataset in plain.items():
        yield source, dataset
    for source, dataset in plain.items():
        yield f"{source}, pasted", replace(dataset, construction="paste")
    for share in (0.1, 0.3):
        noise = (Corruption("noise", (share / STEP, share / STEP)),)
        for source in ("atoms", "noise"):
            yield f"{source}, noise of {share} of the grey range", replace(plain[source], corruptions=noise)
    yield "atoms, distorted by 2 %", replace(plain["atoms"], corruptions=(Corruption("drift", (4, 4)),))
    for source, dataset in plain.items():
        yield f"{source}, aligned", replace(dataset, orientation="aligned")
    for size in (128, 192, 384, 512):
        for source in ("photos", "atoms"):
            yield f"{source}, {size} px", replace(plain[source], size=size)
    for source in ("photos", "atoms"):
        yield f"{source}, 60 to 100 cells", replace(plain[source], cells=(60.0, 100.0))
    for name in CORRUPTIONS:
        for source in ("photos", "atoms"):
            yield f"{source}, {name} 3", replace(plain[source], corruptions=(Corruption(name, (3, 3)),))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=BUNDLED)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--count", type=int, default=1700)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", nargs="*", default=[], help="lines with any of these words in their names")
    given = parser.parse_args()
    classifier = Classifier.load(given.model)
    print(f"| {given.count} images each | groups % | rotation % | log loss | refused % |\n|---|---|---|---|---|")
    for name, dataset in lines(given.seed):
        if given.only and not any(word in name for word in given.only):
            continue
        found = evaluate_patterns(classifier, dataset, given.count, given.photos)
        root = next(iter(found.levels.values()))
        cells = (100 * found.accuracy, 100 * root)
        refused = 100 * found.refused / found.count
        print(f"| {name} | {cells[0]:.2f} | {cells[1]:.2f} | {found.loss:.4f} | {refused:.2f} |", flush=True)
    if not given.only or "none" in given.only:
        refusals = evaluate_refusals(classifier, NonPatternDataset(given.seed), given.count, given.photos)
        print("\n| no pattern | held to be none % |\n|---|---|")
        for kind, share in refusals.items():
            print(f"| {kind} | {100 * share:.2f} |")


if __name__ == "__main__":
    main()
