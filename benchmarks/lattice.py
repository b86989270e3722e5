"""The lattice by least squares: how often the truth lies within its standard uncertainties, and what it gains.

    python benchmarks/lattice.py OUT.jsonl [--count 204] [--seed 21]

A line of OUT.jsonl tells of `--count` patterns of 256 px with 12 to 60 cells, in turn of all groups, less those whose
lattice was not found or that have too few cells: shares of a, b and gamma within one and two standard uncertainties,
and the root mean square error relative to that of the lattice of the autocorrelation. Lines that are there are not made
again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from hier.datasets import Corruption, PatternDataset
from hier.hierarchy import GROUP_NAMES
from hier.models.evidence.lattice import find_lattice, reduce_basis
from hier.models.placing.precise import cell_lengths, precise_lattice

LINES: dict[str, tuple[Any, tuple[tuple[str, float], ...]]] = {
    "atoms, noise of 0.1": ("atoms", (("noise", 0.1 / 0.06),)),
    "atoms, noise of 0.3": ("atoms", (("noise", 5.0),)),
    "noise, noise of 0.1": ("noise", (("noise", 0.1 / 0.06),)),
    "lines, noise of 0.1": ("outlines", (("noise", 0.1 / 0.06),)),
    "atoms, displaced at random": ("atoms", (("thermal", 2.0), ("noise", 0.5))),
}


def measured(line: str, count: int, seed: int) -> dict[str, Any]:
    """What the fits of a line's patterns come to."""
    source, kinds = LINES[line]
    corruptions = tuple(Corruption(kind, (s, s)) for kind, s in kinds)
    fitted, found = [], []
    for index in range(count):
        name = GROUP_NAMES[index % len(GROUP_NAMES)]
        dataset = PatternDataset(source, seed, 256, groups=(name,), cells=(12, 60), corruptions=corruptions)
        image, drawn = dataset.batch([index]), dataset.accepted([index])[0][0].frame.basis
        true, start = reduce_basis(torch.from_numpy(drawn)[None])[0], find_lattice(image).basis[0]
        fit = precise_lattice(image[0], start)
        if fit is None:
            continue
        known = cell_lengths(true, fit.covariance)[0]
        (values, su), before = cell_lengths(fit.basis, fit.covariance), cell_lengths(start.double(), fit.covariance)[0]
        if ((before - known).abs() / known < 0.02).all():
            fitted.append((values - known) / su)
            found.append((before - known) / su)
    z, rough = torch.stack(fitted).abs(), torch.stack(found)
    gain = (z.square().mean() / rough.square().mean()).sqrt()
    within = {f"within {n}": float((z < n).double().mean()) for n in (1, 2)}
    return {"line": line, "count": len(z), "seed": seed, **within, "error": float(gain)}


def main() -> None:
    """Measure the lines that are not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=204)
    parser.add_argument("--seed", type=int, default=21)
    given = parser.parse_args()
    torch.set_num_threads(1)
    lines = given.out.read_text(encoding="utf-8").splitlines() if given.out.exists() else []
    there = {json.loads(line)["line"] for line in lines}
    for line in LINES:
        if line not in there:
            row = measured(line, given.count, given.seed)
            print(json.dumps(row), flush=True)
            with given.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
