"""Accuracy of models, line by line: sources, constructions, noise, distortion, sizes, numbers of cells, corruptions.

    python benchmarks/accuracy.py OUT.jsonl [--model NAME=DIR[:ROUTER] ...] [--pixels NAME=FILE ...] [--photos DIR]
                                  [--count 1700] [--seed 7] [--only WORD...] [--cache DIR] [--share 0 --shares 2]
    python benchmarks/accuracy.py OUT.jsonl --table
    python benchmarks/accuracy.py OUT.jsonl --record mlruns

Every line is made once for all models and appended to OUT.jsonl; what is there already is not made again. --table
prints it as Markdown, --record puts it into MLflow. Seeds below 10**9 are never used in training, and photographs come
from the validation split. `hier evaluate` gives each line alone, with the same figures. Without --model the bundled
model is measured. The threshold rule (see threshold_rule.py) is always a row; its threshold suits validation
photographs of another seed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from hier.datasets import CORRUPTIONS, SOURCES, Corruption, NonPatternDataset, PatternDataset
from hier.models.bundle import BUNDLED
from hier.models.classifier import Classifier
from hier.pipelines.benchmark_tracking import row_run
from hier.pipelines.evaluate import outputs, refusals, report_of
from hier.pipelines.evidence import EvidenceSet, Part, gather
from hier.pipelines.tracking import store
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
    """Share right about the paper's three classes of rotation: none, 2-fold (4 too), 3-fold (6 too)."""
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
    done = {row["line"]: row for row in _rows(given.out)}
    suited = None
    for number, (line, dataset) in enumerate(lines(given.seed)):
        if number % given.shares != given.share:
            continue
        if given.only and not any(word in line for word in given.only):
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
        found = gather([Part(NonPatternDataset(given.seed), 0, 2000, given.photos, "valid")], given.cache)
        row = {"line": "no pattern", "count": 2000, "seed": given.seed}
        row["models"] = {name: refusals(loaded[folder], found) for name, (folder, _) in models.items()}
        with given.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(row["line"], row["models"], flush=True)


def _rows(path: Path) -> list[dict[str, Any]]:
    """Rows of the file, the last of each line."""
    if not path.exists():
        return []
    rows = [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]
    return list({row["line"]: row for row in rows}.values())


def table(path: Path) -> None:
    rows = [row for row in _rows(path) if row["line"] != "no pattern"]
    names = list(dict.fromkeys(name for row in rows for name in row["models"]))
    print(f"| {rows[0]['count']} images a line, % right | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    for row in rows:
        cells = [f"{100 * row['models'][n]['groups']:.2f}" if n in row["models"] else "-" for n in names]
        print(f"| {row['line']} | {' | '.join(cells)} |")
    full = [n for n in names if any("ece" in row["models"].get(n, {}) for row in rows)]
    heads = " | ".join(f"{n}: rotation % | log loss | ECE % | refused %" for n in full)
    print(f"\n| | {heads} |\n|---|{'---|' * 4 * len(full)}")
    for row in rows:
        cells = []
        for n in full:
            f = row["models"].get(n)
            cells += (
                [f"{100 * f['family']:.2f}", f"{f['loss']:.4f}", f"{100 * f['ece']:.2f}", f"{100 * f['refused']:.2f}"]
                if f
                else ["-"] * 4
            )
        print(f"| {row['line']} | {' | '.join(cells)} |")
    for row in (row for row in _rows(path) if row["line"] == "no pattern"):
        print(f"\n| {row['count']} images that are no pattern, held to be none % | {' | '.join(row['models'])} |")
        print(f"|---|{'---|' * len(row['models'])}")
        for kind in next(iter(row["models"].values())):
            print(f"| {kind} | {' | '.join(f'{100 * v[kind]:.2f}' for v in row['models'].values())} |")


def record(path: Path, root: Path) -> None:
    """Every model as a run in MLflow, a metric for each line."""
    rows = _rows(path)
    names = list(dict.fromkeys(name for row in rows for name in row["models"]))
    with store(root).training("accuracy", {"lines": len(rows)}, {}, path.with_suffix(".run")) as run:
        for name in names:
            with row_run(run, name, {"model": name}, {}) as own:
                for row in rows:
                    line = row["line"].replace(", ", "/").replace(" ", "-").replace("%", "percent")
                    numbers = {k: v for k, v in row["models"].get(name, {}).items() if isinstance(v, float)}
                    own.metrics({f"{line}/{key}": value for key, value in numbers.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", action="append", default=[], help="NAME=FOLDER[:ROUTER]; may be repeated")
    parser.add_argument("--pixels", action="append", default=[], help="NAME=FILE of pixels.py; may be repeated")
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--count", type=int, default=1700)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", nargs="*", default=[], help="lines with any of these words in their names")
    parser.add_argument("--share", type=int, default=0, help="with --shares 2: every other line, from this one on")
    parser.add_argument("--shares", type=int, default=1)
    parser.add_argument("--cache", type=Path, help="folder that keeps what was made of the images, for other models")
    parser.add_argument("--table", action="store_true", help="print what OUT.jsonl holds")
    parser.add_argument("--record", type=Path, metavar="MLRUNS", help="put what OUT.jsonl holds into MLflow's store")
    given = parser.parse_args()
    if given.record:
        return record(given.out, given.record)
    if given.table:
        table(given.out)
    else:
        measure(given)


if __name__ == "__main__":
    main()
