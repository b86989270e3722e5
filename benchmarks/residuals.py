"""The table of groups on patterns whose group is known: does the right one hold, are others refused, who prefers what.

    python benchmarks/residuals.py OUT.jsonl [--count 102] [--seed 11]

A line of OUT.jsonl tells of `--count` patterns of 192 px, in turn of photographs, atoms and noise and of the 17 groups.
Lines that are there already are not made again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import median
from typing import Any

import torch
from hier.datasets import Corruption, PatternDataset
from hier.hierarchy import GROUP_NAMES, is_subgroup
from hier.pipelines.answering.table import most_likely

import hier

SOURCES = ("photos", "atoms", "noise")
LINES: dict[str, tuple[tuple[str, float], ...]] = {
    "exact": (),
    "noise of 0.1": (("noise", 0.1 / 0.06),),
    "noise of 0.3": (("noise", 5.0),),
    "workmanship 2": (("workmanship", 2.0),),
    "workmanship 4": (("workmanship", 4.0),),
    "drawn by tools": (),
}


def measured(name: str, count: int, seed: int) -> dict[str, Any]:
    """What the tables of a line's patterns come to."""
    model = hier.load()
    tally = dict.fromkeys(("networks", "weight", "holds", "tolerated"), 0)
    others, refused, ratios = 0, 0, []
    for index in range(count):
        truth = GROUP_NAMES[index % len(GROUP_NAMES)]
        source: Any = "outlines" if name == "drawn by tools" else SOURCES[index // len(GROUP_NAMES) % len(SOURCES)]
        corruptions = tuple(Corruption(kind, (s, s)) for kind, s in LINES[name])
        dataset = PatternDataset(source, seed, 192, groups=(truth,), corruptions=corruptions)
        (found,) = model.predict([dataset.batch([index])[0]], keep=True)
        tally["networks"] += found.group == truth
        if not found.table:
            continue
        table = {row.group: row for row in found.table}
        tally["weight"] += most_likely(found.table).group == truth
        tally["holds"] += table[truth].verdict == "holds"
        tally["tolerated"] += table[truth].verdict == "holds within tolerance"
        wrong = [row for row in found.table if row.misfit is not None and not is_subgroup(row.group, truth)]
        others, refused = others + len(wrong), refused + sum(row.verdict == "refused" for row in wrong)
        phase, target = table[truth].phase_deg, table[truth].target_deg
        if table[truth].verdict == "holds" and truth != "p1" and phase is not None and target:
            ratios.append(phase / target)
    shares = {key: value / count for key, value in tally.items()}
    return {"line": name, "count": count, "seed": seed, **shares, "refused": refused / others, "phase": median(ratios)}


def main() -> None:
    """Measure the lines that are not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=102)
    parser.add_argument("--seed", type=int, default=11)
    given = parser.parse_args()
    torch.set_num_threads(1)
    lines = given.out.read_text(encoding="utf-8").splitlines() if given.out.exists() else []
    there = {json.loads(line)["line"] for line in lines}
    for name in LINES:
        if name not in there:
            row = measured(name, given.count, given.seed)
            print(json.dumps(row), flush=True)
            with given.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
