"""Distorted patterns, straightened: how many groups are right, and how well the distortion is recovered.

    python benchmarks/distortion.py OUT.jsonl [--photos DIR] [--count 1700] [--seed 7] [--only WORD...] [--processes 1]

A line of OUT.jsonl tells of `--count` patterns, in turn of photographs, atoms and noise, as `hier.load(...)` answers
them, and of the same as if nothing were straightened (``plain``). Lines that are there already are not made again;
OUT.jsonl.part keeps what is done of a line that was stopped. The photographs come from the validation split; seeds
below 10**9 are never seen in training.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hier.datasets import Corruption, NonPatternDataset, PatternDataset, Pool, split_pool
from hier.hierarchy import group

import hier

SOURCES = ("photos", "atoms", "noise")
CHUNK = 17
NO_PATTERN = "no pattern"


@dataclass(frozen=True)
class Line:
    """A line: its corruptions, and what the predictor is asked."""

    name: str
    corruptions: tuple[tuple[str, float], ...] = ()
    asked: dict[str, Any] = field(default_factory=dict)
    goal: float | None = None


LINES = (
    Line("straight"),
    Line("perspective, tilt 20 degrees", (("perspective", 20 / 6),), goal=97),
    Line("perspective, tilt 30 degrees", (("perspective", 5),), goal=93),
    Line("barrel and pincushion of 5 %", (("barrel", 5),), goal=98),
    Line("shear and stretch of 5 %, --strain 0.12", (("shear", 2.5),), {"strain": 0.12}, 98),
    Line("shear and stretch of 10 %, --strain 0.12", (("shear", 5),), {"strain": 0.12}, 95),
    Line("creep of 5 %", (("creep", 5),)),
    Line("bend by a third of a cell", (("bend", 5),), goal=97),
    Line("perspective, tilt 20 degrees, noise 0.1", (("perspective", 20 / 6), ("noise", 0.1 / 0.06))),
    Line(NO_PATTERN),
)


@lru_cache(maxsize=1)
def _pool(photos: Path | None) -> Pool | None:
    return None if photos is None else split_pool(photos, "valid")


@lru_cache(maxsize=2)
def _predictor(asked: str) -> hier.Predictor:
    torch.set_num_threads(1)
    return hier.load(**json.loads(asked))


def _dataset(line: Line, seed: int, photos: Path | None, source: str) -> PatternDataset | NonPatternDataset:
    if line.name == NO_PATTERN:
        return NonPatternDataset(seed, pool=_pool(photos))
    corruptions = tuple(Corruption(name, (s, s)) for name, s in line.corruptions)
    return PatternDataset(source, seed, pool=_pool(photos), corruptions=corruptions)  # type: ignore[arg-type]


def answers(line: Line, seed: int, photos: Path | None, first: int, last: int) -> list[dict[str, Any]]:
    """What came of patterns `first` to `last` of a line."""
    predictor = _predictor(json.dumps(line.asked))
    plain = _predictor(json.dumps({"rectify": "none"}))
    made = []
    for k in range(first, last):
        source, index = (SOURCES[k % 3], k // 3) if line.name != NO_PATTERN else ("any", k)
        dataset = _dataset(line, seed, photos, source)
        image = dataset.batch([index])[0].permute(1, 2, 0).numpy()
        (before,) = plain.predict(image)
        started = time.perf_counter()
        (found,) = predictor.predict(image)
        row = {
            "source": source, "index": index, "truth": dataset.label(index), "group": found.group,
            "plain": before.group, "periodic": found.periodic, "seconds": time.perf_counter() - started,
            "possible": [p.group for p in found.possible] or [found.group],
            "field": None if found.field is None else found.field.kind,
        }  # fmt: skip
        if isinstance(dataset, PatternDataset) and line.corruptions:
            row |= _recovered(dataset, index, found)
        made.append(row)
    return made


def _recovered(dataset: PatternDataset, index: int, found: hier.Prediction) -> dict[str, Any]:
    """Errors of what was recovered: degrees of tilt; strain, against what was done."""
    drawn = dataset.distortions(index)[0]
    made: dict[str, Any] = {}
    if drawn.kind == "perspective" and found.field is not None and found.field.tilt is not None:
        made["tilt"] = found.field.tilt - drawn.parameters[0]
    fixed = group(dataset.label(index)).lattice_system in ("square", "hexagonal")  # others fit many lattices
    if drawn.kind == "shear" and fixed and found.field is not None and found.group == dataset.label(index):
        done = np.array([[1.0, drawn.parameters[0]], [0.0, 1 + drawn.parameters[1]]])
        left = np.linalg.svd(np.array(found.field.linear) @ np.linalg.inv(done))[1]
        made["strain"] = math.sqrt(left[0] / left[1]) - 1
    return made


def summary(line: Line, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A line of the table."""
    right = np.array([r["group"] == r["truth"] for r in rows])
    source = np.array([r["source"] for r in rows])
    held = np.array([r["truth"] in r["possible"] and len(r["possible"]) <= 3 for r in rows])
    made: dict[str, Any] = {
        "line": line.name, "asked": line.asked, "goal": line.goal, "count": len(rows),
        "right": float(right.mean()),
        "sources": {s: float(right[source == s].mean()) for s in SOURCES if (source == s).any()},
        "held": float(held.mean()), "listed": float(np.mean([len(r["possible"]) for r in rows])),
        "plain": float(np.mean([r["plain"] == r["truth"] for r in rows])),
        "periodic": float(np.mean([r["periodic"] for r in rows])),
        "fields": {str(k): int(sum(str(r["field"]) == str(k) for r in rows)) for k in {str(r["field"]) for r in rows}},
        "seconds": float(np.mean([r["seconds"] for r in rows])),
    }  # fmt: skip
    for name in ("tilt", "strain"):
        errors = np.abs([r[name] for r in rows if name in r])
        if len(errors):
            made[name] = {
                "median": float(np.median(errors)),
                "90 %": float(np.quantile(errors, 0.9)),
                "of": len(errors),
            }
    made["wrong"] = [
        [r["source"], r["index"], r["truth"], r["group"], r["field"]] for r in rows if r["group"] != r["truth"]
    ]
    return made


def _chunks(given: argparse.Namespace, line: Line) -> Iterator[tuple[Line, int, Path | None, int, int]]:
    for first in range(0, given.count, CHUNK):
        yield line, given.seed, given.photos, first, min(first + CHUNK, given.count)


def _rows(given: argparse.Namespace, line: Line, pool: ProcessPoolExecutor, part: Path) -> list[dict[str, Any]]:
    """What came of all patterns of a line; those of an earlier run with the same seed are taken from `part`."""
    kept = [json.loads(text) for text in part.read_text().splitlines()] if part.exists() else []
    done = {(k["line"], k["seed"], k["first"], k["last"]): k["rows"] for k in kept}
    chunks = [(line.name, given.seed, *chunk[3:]) for chunk in _chunks(given, line)]
    open_ = [chunk for key, chunk in zip(chunks, _chunks(given, line), strict=True) if key not in done]
    jobs = {pool.submit(answers, *chunk): (line.name, given.seed, *chunk[3:]) for chunk in open_}
    for job in as_completed(jobs):
        key = jobs[job]
        try:
            done[key] = job.result()
        except Exception:
            print(f"{key}: not all of these patterns could be answered", flush=True)
            pool.shutdown(cancel_futures=True)  # else all the others are awaited, and lost
            raise
        with part.open("a") as file:
            named = zip(("line", "seed", "first", "last"), key, strict=True)
            file.write(json.dumps({**dict(named), "rows": done[key]}) + "\n")
    return [row for key in chunks for row in done[key]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--count", type=int, default=1700)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    done = {json.loads(text)["line"] for text in given.out.read_text().splitlines()} if given.out.exists() else set()
    with ProcessPoolExecutor(given.processes, get_context("spawn")) as pool:
        for line in LINES:
            if line.name in done or (given.only and not any(word in line.name for word in given.only)):
                continue
            row = summary(line, _rows(given, line, pool, given.out.with_suffix(".jsonl.part")))
            row["seed"] = given.seed
            with given.out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(json.dumps({k: v for k, v in row.items() if k != "wrong"}), flush=True)


if __name__ == "__main__":
    main()
