"""How well the operations of answers hold, right ones and wrong ones: the share below which an answer is withdrawn.

    python benchmarks/held.py [--count 85] [--seed 4242]

`Held.share` of the likeliest group on patterns of each source: clean, rough, noisy, and with displaced atoms.
"""

from __future__ import annotations

import argparse

from hier.datasets import PatternDataset, split_pool
from hier.models.classifier import Classifier
from hier.models.evidence.batches import rows
from hier.pipelines.answering.confidence import Held
from hier.pipelines.measuring.evaluate import parse_corruptions

SOURCES = ("photos", "atoms", "noise", "outlines")
KINDS = ("", "workmanship=3", "workmanship=5", "grain=3", "grain=5", "thermal=4")
BARS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
BATCH = 16


def shares(classifier: Classifier, dataset: PatternDataset, count: int) -> list[tuple[bool, float]]:
    """Whether the answer was right, and how well its worst operation holds, for images that are not refused."""
    made = []
    for start in range(0, count, BATCH):
        indices = range(start, min(start + BATCH, count))
        answer = classifier.answer(dataset.batch(indices))
        assert answer.groups is not None
        assert answer.structure is not None
        for k, index in enumerate(indices):
            label = classifier.labels[int(answer.winners[k])]
            share = Held.of(answer.groups, k, rows(answer.structure, slice(k, k + 1))).share(label)
            if float(answer.pattern[k]) >= 0.5 and share is not None:
                made.append((label == dataset.label(index), share))
    return made


def main() -> None:
    """Print a line for each kind of pattern, then how many answers each bar withdraws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=85)
    parser.add_argument("--seed", type=int, default=4242)
    given = parser.parse_args()
    classifier, pool, found = Classifier.load(), split_pool(None, "valid"), []
    for source in SOURCES:
        for kind in KINDS if source == "atoms" else KINDS[:-1]:
            corruptions = parse_corruptions([kind] if kind else [])
            dataset = PatternDataset(source, given.seed, 256, corruptions=corruptions, pool=pool)  # type: ignore[arg-type]
            some = shares(classifier, dataset, given.count)
            lowest = min((share for right, share in some if right), default=1.0)
            print(f"{source} {kind or 'clean'}: {sum(right for right, _ in some)} of {len(some)} right, {lowest:.2f}")
            found += some
    for bar in BARS:
        fallen = [right for right, share in found if share < bar]
        print(f"below {bar}: {sum(fallen)} right and {len(fallen) - sum(fallen)} wrong of {len(found)}")


if __name__ == "__main__":
    main()
