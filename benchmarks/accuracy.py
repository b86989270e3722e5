"""Accuracy of models, line by line: sources, constructions, noise, distortion, sizes, numbers of cells, corruptions.

    python benchmarks/accuracy.py OUT.jsonl [--model NAME=DIR[:ROUTER] ...] [--pixels NAME=FILE ...] [--photos DIR]
                                  [--count 1700] [--seed 7] [--only WORD...] [--cache DIR] [--share 0 --shares 2]

Every line is made once for all models and appended to OUT.jsonl; what is there already is not made again, and
accuracy_table.py prints it as Markdown and puts it into MLflow. Seeds below 10**9 are never used in training, and
photographs come from the validation split. `hier evaluate` gives each line alone, with the same figures. Without
--model the bundled model is measured. The threshold rule (see threshold_rule.py) is always a row; its threshold suits
validation photographs of another seed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from accuracy_table import rows_of
from hier.datasets import CORRUPTIONS, SOURCES, Corruption, NonPatternDataset, PatternDataset
from hier.models.bundle import BUNDLED
from hier.models.classifier import Classifier
from hier.pipelines.generating.evidence import EvidenceSet, gather
from hier.pipelines.generating.parts import Part
from hier.pipelines.measuring.evaluate import evaluate_refusals, outputs, report_of
from threshold_rule import choose, groups, residuals
from torch import Tensor

STEP = 0.06  # of the grey range: deviation of the noise at severity 1
FAMILY = {"p1": 0, "pm": 0, "pg": 0, "cm": 0, "p3": 2, "p3m1": 2, "p31m": 2, "p6": 2, "p6m": 2}  # of the paper, else 1


def lines(seed: int) -> Iterator[tuple[str, PatternDataset]]:
    """Names and datasets of all lines."""
    plain = {source: PatternDataset(source, seed) for source in SOURCES}
    for source, dataset in plain.items():
        yield source, dataset
    for source, dataset in plain.items():
        yield f"{source}, pasted", replace(dataset, construction="paste")
    for source in ("atoms", "noise"):
        for share in (0.1, 0.3):
            noise = (Corruption("noise", (share / STEP, share / STEP)),)
            yield f"{source}, noise of {share} of the grey range", replace(plain[source], corruptions=noise)
    for source in SOURCES:
        grain = (Corruption("grain", (2.5, 2.5)),)
        yield f"{source}, noise of half their deviation", replace(plain[source], corruptions=grain)
    for source in SOURCES:
        drift = (Corruption("drift", (4, 4)),)
        yield f"{source}, distorted by 2 %", replace(plain[source], corruptions=drift)
    for source, dataset in plain.items():
        yield f"{source}, aligned", replace(dataset, orientation="aligned")
    for size in (128, 192, 384, 512):
        for source in ("photos", "atoms"):
            yield f"{source}, {size} px", replace(plain[source], size=size)
    for source in ("photos", "atoms"):
        yield f"{source}, 60 to 100 cells", replace(plain[source], cells=(60.0, 100.0))
    near = replace(plain["photos"], near_misses=1.0)
    yield "photos, near misses", near
    yield (
        "photos, near misses, noise of 0.3 of the grey range",
        replace(near, corruptions=(Corruption("noise", (5, 5)),)),
    )
    for name in CORRUPTIONS:
        for source in ("photos", "atoms"):
            yield f"{source}, {name} 3", replace(plain[source], corruptions=(Corruption(name, (3, 3)),))


def family(confusion: Sequence[Sequence[int]], labels: Sequence[str]) -> float:
    """Share correct in the paper's three classes of rotation: none, 2-fold (4 too), 3-fold (6 too)."""
    table, kind = np.array(confusion), np.array([FAMILY.get(name, 1) for name in labels])
    return float(table[kind[:, None] == kind].sum() / table.sum())


def figures(classifier: Classifier, said: dict[str, Tensor], found: EvidenceSet, router: Any) -> dict[str, Any]:
    report = report_of(classifier, [classifier.combine(said, router)], found.labels, {}, {})
    return {
        "groups": report.accuracy, "family": family(report.confusion, report.labels), "loss": report.loss,
        "ece": report.ece, "refused": report.refused / report.count, "mistakes": report.mistakes,
    }  # fmt: skip


def pixel_figures(network: Any, part: Part) -> dict[str, Any]:
    from pixels import LABELS, predictions

    found, truth = predictions(network, part), [LABELS.index(part.dataset.label(i)) for i in range(part.stop)]
    confusion = np.zeros((len(LABELS), len(LABELS)), dtype=int)
    np.add.at(confusion, (truth, found), 1)
    return {"groups": float((found == np.array(truth)).mean()), "family": family(confusion.tolist(), LABELS)}


def measure(given: argparse.Namespace) -> None:
    models, loaded = {}, {}
    for text in given.model or [f"bundled={BUNDLED}"]:
        name, _, rest = text.partition("=")
        folder, _, router = rest.partition(":")
        if folder not in loaded:
            loaded[folder] = Classifier.load(Path(folder))
        models[name] = folder, router or "soft"
    networks = {}
    for text in given.pixels:
        from pixels import load

        name, _, file = text.partition("=")
        networks[name] = load(Path(file))
    done = {row["line"]: row for row in rows_of(given.out)}
    suited = None
    for number, (line, dataset) in enumerate(lines(given.seed)):
        if number % given.shares != given.share:
            continue
        if given.only and not any(word in line or word == f"={line}" for word in given.only):
            continue
        row = done.get(line, {"line": line, "count": given.count, "seed": given.seed, "models": {}})
        part = Part(dataset, 0, given.count, given.photos, "valid")
        asked = {*models, *networks, "threshold rule"} - set(row["models"])
        if asked - set(networks):
            if suited is None:
                other = gather([Part(PatternDataset("photos", 10**8), 0, 510, given.photos, "valid")], given.cache)
                suited = choose(other.numbers, other.labels)
                print(f"threshold rule: 1 - r < {suited[1]} with weights {suited[0]}", flush=True)
            found = gather([part], given.cache)
            said = {folder: outputs(classifier, found) for folder, classifier in loaded.items()}
            for name, (folder, router) in models.items():
                row["models"][name] = figures(loaded[folder], said[folder], found, router)
            ruled = groups(residuals(found.numbers, suited[0]), suited[1])
            row["models"]["threshold rule"] = {
                "groups": float(np.mean([a == b for a, b in zip(ruled, found.labels, strict=True)]))
            }
        for name in asked & set(networks):
            row["models"][name] = pixel_figures(networks[name], part)
        if asked:
            with given.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        print(line, {k: round(100 * v["groups"], 2) for k, v in row["models"].items()}, flush=True)
    if (not given.only or "none" in given.only) and given.share == 0 and "no pattern" not in done:
        others = NonPatternDataset(given.seed)
        row = {"line": "no pattern", "count": 2000, "seed": given.seed}
        refused = {
            folder: evaluate_refusals(classifier, others, 2000, given.photos) for folder, classifier in loaded.items()
        }
        row["models"] = {name: refused[folder] for name, (folder, _) in models.items()}  # one gate for all routers
        with given.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(row["line"], row["models"], flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", action="append", default=[], help="NAME=FOLDER[:ROUTER]; may be repeated")
    parser.add_argument("--pixels", action="append", default=[], help="NAME=FILE of pixels.py; may be repeated")
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--count", type=int, default=1700)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument(
        "--only", nargs="*", default=[], help="lines with any of these words in their names; =NAME is one line"
    )
    parser.add_argument("--share", type=int, default=0, help="with --shares 2: every other line, from this one on")
    parser.add_argument("--shares", type=int, default=1)
    parser.add_argument("--cache", type=Path, help="folder that keeps what was made of the images, for other models")
    measure(parser.parse_args())


if __name__ == "__main__":
    main()
