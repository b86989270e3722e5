"""Every router on photos, atoms and noise: what a tree gains over a flat head, and how a router fails.

    python benchmarks/routers.py [--model DIR] [--photos DIR] [--count 1700] [--seed 7] [--fit 1020] [--corrupt NAME=S]
                                [--cache DIR]

Prints one Markdown table. Evidence and outputs of nodes are made once for each source and shared by all routers.
With --fit, a model that is not calibrated is fitted first, in memory, on that many patterns in each split; without it
``blend`` is an even mix and ``stack`` is left out. `climb` stops at 0.9: its accuracy counts statements, and how many
of them are single labels stands beside.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from hier.datasets import SOURCES, PatternDataset
from hier.models.bundle import BUNDLED, Bundle, BundleError, load_bundle
from hier.models.classifier import Classifier
from hier.models.routing.router import ROUTERS, Router
from hier.pipelines.generating.evidence import gather
from hier.pipelines.generating.parts import Part
from hier.pipelines.measuring.evaluate import Report, outputs, parse_corruptions, report_of
from hier.pipelines.training.calibrate import calibrate, calibration_splits

CLIMB = 0.9
HEAD = (
    "source",
    "router",
    "accuracy %",
    "log loss",
    "ECE",
    "hierarchical F %",
    "subgroup %",
    "supergroup %",
    "unrelated %",
)


def can(classifier: Classifier, router: Router) -> bool:
    try:
        classifier.require(router)
    except BundleError:
        return False
    return True


def row(source: str, router: Router, report: Report) -> str:
    wrong = [100 * report.mistakes[name] / report.count for name in ("subgroup", "supergroup", "unrelated")]
    accuracy, f, name = report.accuracy, report.hierarchical["f"], str(router)
    if router == "climb":
        (at,) = [r for r in report.risk_coverage if r["threshold"] == CLIMB]
        accuracy, f, name = 1 - at["risk"], at["f"], f"climb {CLIMB} ({100 * at['labels']:.1f} % labels)"
        return f"| {source} | {name} | {100 * accuracy:.2f} | | | {100 * f:.2f} | | | |"
    figures = f"{100 * accuracy:.2f} | {report.loss:.4f} | {report.ece:.4f} | {100 * f:.2f}"
    return f"| {source} | {name} | {figures} | {' | '.join(f'{w:.2f}' for w in wrong)} |"


def fitted(bundle: Bundle, count: int, photos: Path | None) -> Bundle:
    return calibrate(bundle, calibration_splits(bundle, count, photos=photos)).bundle if count else bundle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=BUNDLED)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--count", type=int, default=1700)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--fit", type=int, default=0, help="patterns in each split of a calibration; 0: as it is")
    parser.add_argument("--corrupt", action="append", default=[], help="NAME=SEVERITY, as for `hier evaluate`")
    parser.add_argument("--cache", type=Path, help="folder that keeps what was made of the images")
    given = parser.parse_args()
    classifier = Classifier(fitted(load_bundle(given.model), given.fit, given.photos))
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    for source in SOURCES:
        dataset = PatternDataset(source, given.seed, corruptions=parse_corruptions(given.corrupt))  # type: ignore[arg-type]
        found = gather([Part(dataset, 0, given.count, given.photos, "valid")], given.cache)
        shared = outputs(classifier, found)
        for router in ROUTERS:
            if can(classifier, router):
                answer = classifier.combine(shared, router)
                print(row(source, router, report_of(classifier, [answer], found.labels, {}, {})), flush=True)


if __name__ == "__main__":
    main()
