"""What Ray costs: images a second of `hier generate` and `hier predict` without it and with one and two workers.

    python benchmarks/scale.py [--generate 1000] [--predict 500] [--workers 1 2] [--size 256]

Prints a table. "Seconds" are those of a user who waits, without the start of Python and of Ray, which has a line of its
own; "images/s" count what follows the first hundred, when all workers are at work. Without Ray,
`generate` has as many processes as workers are compared, and `predict` as many threads.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import accumulate
from pathlib import Path
from unittest.mock import patch

import torch
from hier.datasets import PatternDataset
from hier.models.bundle import BUNDLED
from hier.pipelines.answering.on_ray import OnRay
from hier.pipelines.cluster import cluster
from hier.pipelines.generating.export import Export, export
from hier.pipelines.loading import load
from hier.pipelines.reading.images import PLAIN

SHARD = 50  # images
WARM = 100  # images, after which all workers are at work
Advance = Callable[[int], None]


class Clock:
    """When how many images were done."""

    def __init__(self) -> None:
        self.begun = time.perf_counter()
        self.told: list[tuple[float, int]] = []

    def __call__(self, count: int) -> None:
        if count:
            self.told.append((time.perf_counter(), count))

    def row(self) -> str:
        """Images, seconds in all, and images a second once `WARM` images are done."""
        totals = list(accumulate(count for _, count in self.told))
        at = next((i for i, total in enumerate(totals) if total >= WARM), len(totals) - 1)
        rate = (totals[-1] - totals[at]) / max(self.told[-1][0] - self.told[at][0], 1e-9)
        return f"{totals[-1]} | {self.told[-1][0] - self.begun:.1f} | {rate:.1f}"


@contextmanager
def started(workers: int) -> Iterator[None]:
    begun = time.perf_counter()
    with cluster("ray", workers):
        print(f"| start of Ray | {workers} workers | | {time.perf_counter() - begun:.1f} | |", flush=True)
        yield


def generated(folder: Path, count: int, size: int, on_ray: bool, tell: Advance) -> None:
    export(Export(PatternDataset("atoms", 1, size), count, "npy", folder, shard_size=SHARD), tell, "cpu", on_ray)


def predicted(names: list[str], on_ray: bool, tell: Advance) -> None:
    answering = OnRay([BUNDLED]) if on_ray else load(BUNDLED)
    for _ in answering.predict_each(names, lambda _: None, PLAIN, False):
        tell(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generate", type=int, default=1000)
    parser.add_argument("--predict", type=int, default=500)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--size", type=int, default=256)
    given = parser.parse_args()
    print("| what | by | images | seconds | images/s |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export(Export(PatternDataset("atoms", 2, given.size), given.predict, "png", folder / "images"))
        names = sorted(map(str, (folder / "images").rglob("*.png")))
        for on_ray in (False, True):
            for workers in given.workers:
                torch.set_num_threads(1 if on_ray else workers)
                with started(workers) if on_ray else nullcontext(), patch("os.cpu_count", return_value=workers):
                    with_what = f"{'Ray' if on_ray else 'no Ray'}, {workers} {'worker' if on_ray else 'core'}"
                    made = Clock()
                    generated(folder / f"{on_ray}{workers}", given.generate, given.size, on_ray, made)
                    print(f"| generate | {with_what} | {made.row()} |", flush=True)
                    answered = Clock()
                    predicted(names, on_ray, answered)
                    print(f"| predict | {with_what} | {answered.row()} |", flush=True)


if __name__ == "__main__":
    main()
