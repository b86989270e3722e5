"""Where errors come from: the lattice, a node of the tree, or the router.

    python benchmarks/errors.py [--model DIR] [--photos DIR] [--count 510] [--seed 100] [--only WORD...] [--cache DIR]

The lines are those of accuracy.py, with another seed: weaknesses are looked for here, so that no image of its table is
ever tuned on. Prints a Markdown table. The lattice is *right* when its cell has the true area within 8 %, and
*finer* or *coarser* otherwise. An error on a right lattice is counted at the first node on the true path whose own
choice is wrong, and as *router* where none is.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from accuracy import lines
from hier.datasets import PatternDataset, split_pool
from hier.hierarchy import Tree
from hier.models.bundle import BUNDLED
from hier.models.classifier import Answer, Classifier
from hier.models.evidence.representation import CELL
from hier.pipelines.generating.evidence import gather
from hier.pipelines.generating.parts import Part
from hier.pipelines.measuring.evaluate import decide

NEAR = 0.08  # relative change of the cell's area that still counts as right; distortions change it too
AREA = 16  # the number of the evidence that tells the cell is log2 of the cell's area in px^2 over this
KINDS = ("finer, wrong", "coarser, wrong", "finer, right", "coarser, right")


def first_wrong(tree: Tree, nodes: dict[str, list[int]], index: int, label: str) -> str:
    """Level of the first node on the way to `label` that chooses otherwise, or ``router``."""
    wrong = (name for name, choice in tree.path(label) if nodes[name][index] != choice)
    return next((tree.level_of(name) for name in wrong), "router")


def row(classifier: Classifier, answer: Answer, area: np.ndarray, truth: np.ndarray, labels: tuple[str, ...]) -> str:
    tree = classifier.bundle.tree
    said = [classifier.labels[i] for i in answer.log_probabilities.argmax(1).tolist()]
    nodes = {name: p.argmax(1).tolist() for name, p in answer.nodes.items()}
    ratio = area / truth
    found = Counter[str]()
    for i, (a, b) in enumerate(zip(said, labels, strict=True)):
        lattice = "finer" if ratio[i] < 1 - NEAR else "coarser" if ratio[i] > 1 + NEAR else ""
        if lattice:
            found[f"{lattice}, {'right' if a == b else 'wrong'}"] += 1
        elif a != b:
            found[first_wrong(tree, nodes, i, b)] += 1
    right = sum(a == b for a, b in zip(said, labels, strict=True))
    counts = [str(found[kind]) for kind in (*KINDS, *tree.levels, "router")]
    return " | ".join([f"{100 * right / len(labels):.2f}", *counts])


def asked(given: argparse.Namespace) -> Iterator[tuple[str, PatternDataset]]:
    for name, dataset in lines(given.seed):
        if not given.only or any(word in name for word in given.only):
            yield name, dataset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=BUNDLED)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--count", type=int, default=510)
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--only", nargs="*", default=[], help="lines with any of these words in their names")
    parser.add_argument("--cache", type=Path, help="folder that keeps what was made of the images, for other models")
    given = parser.parse_args()
    classifier, pool = Classifier.load(given.model), split_pool(given.photos, "valid")
    heads = ["right %", *KINDS, *classifier.bundle.tree.levels, "router"]
    print(f"| {given.count} images a line | {' | '.join(heads)} |\n|---{'|---' * len(heads)}|")
    for name, dataset in asked(given):
        found = gather([Part(dataset, 0, given.count, given.photos, "valid")], given.cache)
        patterns, _ = replace(dataset, pool=pool).accepted(range(given.count))
        truth = np.array([abs(np.linalg.det(p.frame.basis)) for p in patterns])
        area = 2.0 ** (AREA * found.numbers[:, CELL].double().numpy())
        print(f"| {name} | {row(classifier, decide(classifier, found), area, truth, found.labels)} |", flush=True)


if __name__ == "__main__":
    main()
