"""How memory and speed of a training depend on the number of images, and what a second process brings.

    python benchmarks/scale_training.py [--counts 3400 34000 340000] [--made 1700] [--processes 1 2] [--steps 60]

For each count the backbone is fitted for `--steps` as `hier train` does it, in a process of its own: its most memory,
and the images a second. `--made` images are made and looked at; files of their evidence are linked under as many names
as the count asks for, since what a piece holds does not change what it costs. Then the first count by each number of
processes under torchrun, on one core each. One line of JSON for each; `docs/scale.md` shows them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import torch
from hier.datasets import PatternDataset
from hier.hierarchy import compile_tree, load_tree
from hier.models.node import NodeClassifier, NodeSettings
from hier.pipelines.generating.evidence import STORE, EvidenceSet, gather
from hier.pipelines.generating.parts import PIECE, Part
from hier.pipelines.generating.processes import together
from hier.pipelines.generating.stored import StoredRows
from hier.pipelines.training.data import TRAIN, training_samples_of
from hier.pipelines.training.fit import Samples, fit
from hier.pipelines.training.loop import Schedule

PLAN = compile_tree(load_tree("wallpaper"))
WARM = 3  # steps that are not timed


def linked(cache: Path, made: int, count: int) -> EvidenceSet:
    """Evidence of `count` images: the pieces of the first `made`, again and again."""
    part = Part(PatternDataset("atoms", TRAIN + 998, 96), 0, made, None, "train")
    gather([part], cache)
    files = sorted((cache / STORE).glob("*.safetensors"))
    pieces = [files[k % len(files)] for k in range(-(-count // PIECE))]
    names = [cache / "linked" / f"{k}.safetensors" for k in range(len(pieces))]
    for name, file in zip(names, pieces, strict=True):
        name.parent.mkdir(exist_ok=True)
        if not name.exists():
            os.link(file, name)
    maps, numbers, misfits = (StoredRows.of(name, names) for name in ("maps", "numbers", "misfits"))
    labels = tuple(part.dataset.label(i) for i in range(len(maps)))
    return EvidenceSet(maps, numbers, labels, misfits[:])


class Enough(Exception):
    """The training has run for long enough to know."""


class Watch:
    """Counts the steps of a network's training, stops it after so many, and times all but the first few."""

    def __init__(self, steps: int, node: NodeClassifier) -> None:
        self.steps, self.done, self.most = steps, 0, 0.0
        self.times: list[float] = []
        node.register_forward_pre_hook(self.step)

    def step(self, node: torch.nn.Module, given: tuple[Any, ...]) -> None:
        self.times.append(time.monotonic())
        self.most = max(self.most, psutil.Process().memory_info().rss / 1e6)
        self.images = len(given[0])
        if len(self.times) > self.steps:
            raise Enough

    @property
    def images_per_second(self) -> float:
        return self.images * (self.steps - WARM) / (self.times[-1] - self.times[WARM])


def one(cache: Path, made: int, count: int, steps: int) -> None:
    """Fit the backbone in this process, or in this one of several, for a while, and print its figures."""
    with together("cpu") as (processes, device):
        evidence = linked(cache, made, count) if processes.first else None
        processes.wait()
        evidence = evidence or linked(cache, made, count)
        samples = training_samples_of(evidence, PLAN)
        few = Samples(samples.maps[:2], samples.numbers[:2], torch.zeros(2, dtype=torch.long))
        torch.manual_seed(0)
        node = NodeClassifier(NodeSettings(PLAN.labels)).to(device)
        watch = Watch(steps, node)
        with suppress(Enough):
            fit(node, samples, few, Schedule(1000, 1e-3, 128, 0), None, processes=processes)
        if processes.first:
            figures = {"count": count, "processes": processes.count, "cores": torch.get_num_threads()}
            figures |= {
                "images_per_second": round(watch.images_per_second * processes.count),
                "peak_mb": round(watch.most),
            }
            print(json.dumps(figures), flush=True)
        processes.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[3400, 34_000, 340_000])
    parser.add_argument("--made", type=int, default=1700)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--steps", type=int, default=60, help="of 128 images in each")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--cache", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.cache is not None:
        return one(given.cache, given.made, given.counts[0], given.steps)
    with tempfile.TemporaryDirectory() as name:
        runs = [(count, 1, torch.get_num_threads()) for count in given.counts]
        runs += [(given.counts[0], n, 1) for n in given.processes]
        lines = []
        for count, processes, cores in runs:
            launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
            command = [sys.executable, *(launcher if processes > 1 else []), __file__, "--cache", str(Path(name) / "x")]
            command += ["--made", str(given.made), "--counts", str(count), "--steps", str(given.steps)]
            environment = {**os.environ, "OMP_NUM_THREADS": str(cores)}
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            lines.append(done.stdout.splitlines()[-1])
            print(lines[-1], flush=True)
    if given.out is not None:
        given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
