"""Does everything run on this machine's accelerator, answer as on the CPU, how fast, and how well does it train?

    python benchmarks/gpu.py [--check] [--device cuda] [--count 510] [--minutes 9] [--out gpu.json] [--keep FOLDER]

First every command that takes `--device` (a training is interrupted and resumed), the estimator, and a comparison of
answers with the CPU's (the same group, a probability within 0.005); with `--check` nothing more. Then images a second
of every stage beside what memory and launches allow; the whole tree trained endlessly for two minutes and evaluated,
its bundle copied to `--keep`; and ResNet50 trained on pixels for what is left of `--minutes`. A failing part is
reported and the others continue; exit code 1 if any failed, and `--out` gets all of it as JSON, part by part. It needs
no network: the photographs are made up. CI rehearses it with `--device cpu --count 34`, as it has no card.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_speed import seconds, speed
from gpu_training import resnet50, tree
from hier.datasets import SOURCES, PatternDataset, split_pool
from hier.datasets.textures import dead_leaves
from hier.models.classifier import Classifier
from hier.pipelines.generating.parts import Part, evidence_of
from PIL import Image
from torch import Tensor

import hier

TOLERANCE = 5e-3  # by which a probability may differ from the CPU's
RIGHT = 0.9  # least share of groups that the bundled model has right on patterns of atoms
PATIENCE = 420.0  # seconds after which a command counts as hung
PICTURES = 12  # in each split
TRAINING = """
{{source: [noise], count: {count}, valid_count: 17, cross_count: 17, sizes: [96], epochs: 3, tune_epochs: 1, batch: 16}}
"""
Figures = dict[str, Any]


@dataclass(frozen=True)
class Check:
    """What the parts share: a device, a number of images, a folder to work in."""

    device: str
    count: int
    folder: Path
    until: float
    keep: Path | None = None

    @cached_property
    def images(self) -> Tensor:
        """About `count` patterns (B, 3, 256, 256) of all sources, on the CPU."""
        each = max(1, self.count // len(SOURCES))
        return torch.cat([self.dataset(source).batch(range(each)) for source in SOURCES])

    def dataset(self, source: Any) -> PatternDataset:
        return PatternDataset(source, 5, 256, pool=split_pool(self.folder / "pictures", "valid"))

    @cached_property
    def model(self) -> Classifier:
        return Classifier.load(device=self.device)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "hier", *arguments, "--device", self.device]

    def hier(self, *arguments: str) -> Any:
        """The JSON that a command prints, or its text."""
        done = subprocess.run(
            self.command(*arguments), cwd=self.folder, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        problem = f"hier {' '.join(arguments)} ends with {done.returncode}: {done.stderr.strip()[-1500:]}"
        require(done.returncode == 0, problem)
        return json.loads(done.stdout) if "--json" in arguments else done.stdout


def generate(check: Check) -> Figures:
    """Patterns of photographs, as files."""
    made = check.hier("generate", "--source", "photos", "--photos", "pictures", "--count", str(check.count),
                      "--out", "patterns", "--json")  # fmt: skip
    require(made["complete"], f"{made} is not complete")
    return {"images_per_second": made["images_per_second"]}


def evaluate(check: Check) -> Figures:
    """The bundled model on patterns of atoms."""
    report = check.hier("evaluate", "--source", "atoms", "--seed", "7", "--count", str(check.count), "--json")
    require(report["accuracy"] >= RIGHT, f"only {report['accuracy']:.3f} of {report['count']} groups are right")
    return {"accuracy": report["accuracy"]}


def predict(check: Check) -> Figures:
    """The files of `generate`, into a table."""
    check.hier("predict", "patterns", "--csv", "answers.csv")
    with (check.folder / "answers.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    require(len(rows) == check.count, f"{len(rows)} rows for {check.count} images")
    return {"rows": len(rows)}


def map_(check: Check) -> Figures:
    """A field of one group."""
    found = check.hier("map", "field.png", "--window", "64", "--stride", "32", "--out", "map.png", "--json")
    require((check.folder / "map.npz").exists(), "no arrays beside the map")
    return {"measured": found["measured"]}


def explain(check: Check) -> Figures:
    """Which maps decided."""
    steps = check.hier("explain", "field.png", "--out", "why.png", "--json")["path"]
    require(bool(steps), "an answer without steps")
    return {"steps": len(steps)}


def train(check: Check) -> Figures:
    """A level of the tree, interrupted after an epoch of the backbone and resumed."""
    (check.folder / "training.yaml").write_text(TRAINING.format(count=min(check.count, 510)), encoding="utf-8")
    arguments = ("train", "--level", "rotation", "--config", "training.yaml", "--json")
    process = subprocess.Popen(check.command(*arguments), cwd=check.folder, stdout=subprocess.DEVNULL)
    started, kept = time.monotonic(), False
    while process.poll() is None and not kept and time.monotonic() - started < PATIENCE:
        time.sleep(0.05)
        kept = any(check.folder.glob("mlruns/work/*/backbone.pt"))
    process.send_signal(signal.SIGINT)
    process.wait(PATIENCE)
    require(kept, "no epoch ended")
    metrics = check.hier(*arguments)["nodes"]["rotation"]
    require(bool(np.isfinite(list(metrics.values())).all()), f"{metrics} are not all finite")
    return {"interrupted": process.returncode != 0, "valid_accuracy": metrics["valid/accuracy"]}


def calibrate(check: Check) -> Figures:
    """Temperatures and routers of the bundled model."""
    made = check.hier("calibrate", "--count", "34", "--source", "noise", "--out", "calibrated", "--json")
    return {"temperatures": made["temperatures"]}


def estimator(check: Check) -> Figures:
    """Custom labels, learnt and predicted."""
    images = list(PatternDataset("atoms", 5, 96, groups=("p2", "p4m"), cells=(4, 9)).batch(range(16)))
    model = hier.HierarchicalClassifier(epochs=4, tune_epochs=1, device=check.device).fit(images, ["two", "four"] * 8)
    p = model.predict_proba(images)
    require(np.allclose(p.sum(1), 1), f"probabilities sum to {p.sum(1)}")
    return {"accuracy": float((model.predict(images) == np.array(["two", "four"] * 8)).mean())}


def same_answers(check: Check) -> Figures:
    """The bundled model's answers to all images against the CPU's."""
    expected, found = Classifier.load().answer(check.images), check.model.answer(check.images)
    p, q = expected.log_probabilities.exp(), found.log_probabilities.cpu().exp()
    off = (p - q).abs().amax(1)
    same = expected.winners == found.winners.cpu()
    figures = {"images": len(p), "same_group": float(same.float().mean()), "largest_difference": float(off.max())}
    require(bool(same.all()) and float(off.max()) <= TOLERANCE, f"answers are not the CPU's: {figures}")
    return figures


def same_pictures(check: Check) -> Figures:
    """Patterns drawn on the device against those of the CPU; a pixel in a thousand may lie across an edge."""
    figures = {}
    for source in SOURCES:
        dataset = check.dataset(source)
        apart = (dataset.batch(range(17), check.device).cpu() - dataset.batch(range(17))).abs()
        figures[source] = float(apart.flatten().kthvalue(int(0.999 * apart.numel())).values)
    require(max(figures.values()) <= 0.01, f"pictures are not the CPU's: {figures}")
    return figures


def speeds(check: Check) -> Figures:
    """Images a second of every stage; half as many in a batch as there are images to check."""
    return speed(check.device, max(16, min(check.count // 2, 512)), check.dataset, check.model)


def training(check: Check) -> Figures:
    """The whole tree from nothing, endlessly, in about two minutes."""
    part = Part(check.dataset("noise"), 0, 256, None, "valid")
    count = 256 if check.device != "cpu" else 17
    per_second = count / seconds(check.device, lambda: evidence_of(part, range(count), check.device))
    epochs, given = ((6, 3), 120.0) if check.device != "cpu" else ((1, 1), 5.0)
    return tree(check.hier, check.folder, per_second, given, epochs, min(check.count, 340), check.keep)


def pixels(check: Check) -> Figures:
    """ResNet50 on pixels for the time that is left."""
    left = check.until - time.perf_counter() - 30
    return resnet50(check.device, max(left, 5.0), min(check.count, 340), check.dataset)


CHECKS = (same_answers, same_pictures, generate, evaluate, predict, map_, explain, train, calibrate, estimator)
MEASURES = (speeds, training, pixels)


def require(condition: bool, problem: str) -> None:
    if not condition:
        raise RuntimeError(problem)


def prepare(folder: Path) -> None:
    """Made-up photographs, and a field to map."""
    for seed, split in enumerate(("train", "valid")):
        (folder / "pictures" / split).mkdir(parents=True)
        for k in range(PICTURES):
            picture = dead_leaves(np.random.default_rng([seed, k]))
            Image.fromarray(picture).save(folder / "pictures" / split / f"{k}.png")
    field = PatternDataset("atoms", 5, 192, cells=(30, 50)).batch([11])[0]
    Image.fromarray((255 * field).byte().permute(1, 2, 0).numpy()).save(folder / "field.png")


def run(check: Check, parts: Sequence[Callable[[Check], Figures]], told: Callable[[dict[str, Figures]], None]) -> None:
    """Every part's figures, seconds, and what went wrong in it, if anything did; all so far are `told` after each."""
    results: dict[str, Figures] = {}
    for part in parts:
        started = time.perf_counter()
        try:
            figures = part(check)
        except Exception as error:  # whatever it is, the other parts are worth knowing
            figures = {"failed": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc(limit=-6)}
        title = part.__name__.strip("_").replace("_", " ")
        results[title] = {**figures, "seconds": round(time.perf_counter() - started, 2)}
        print(f"{title:20} {json.dumps({k: v for k, v in results[title].items() if k != 'traceback'})}", flush=True)
        told(results)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only whether everything runs")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--count", type=int, default=510, help="images of each part, 34 or more")
    parser.add_argument("--minutes", type=float, default=9.0, help="for everything")
    parser.add_argument("--out", type=Path, help="JSON file")
    parser.add_argument("--keep", type=Path, help="folder for the bundle of the trained tree")
    given = parser.parse_args()
    if given.count < 34:
        parser.error(f"--count {given.count}: give 34 or more, two of each group")
    card = torch.cuda.get_device_name(given.device) if given.device.startswith("cuda") else ""
    about = {"hier": hier.__version__, "torch": torch.__version__, "device": given.device, "card": card}
    print(about, flush=True)
    os.environ.pop("MLFLOW_TRACKING_URI", None)  # runs of a check are kept beside it and go with it
    os.environ["NO_COLOR"] = "1"
    started = time.perf_counter()
    failed: list[str] = []

    def told(results: dict[str, Figures]) -> None:
        failed[:] = [name for name, figures in results.items() if "failed" in figures]
        if given.out is not None:
            given.out.write_text(json.dumps({**about, "failed": failed, "parts": results}, indent=1) + "\n", "utf-8")

    with tempfile.TemporaryDirectory() as name:
        check = Check(given.device, given.count, Path(name), started + 60 * given.minutes, given.keep)
        prepare(check.folder)
        run(check, CHECKS if given.check else CHECKS + MEASURES, told)
    print(
        f"{time.perf_counter() - started:.0f} s; " + (f"failed: {', '.join(failed)}" if failed else "every part passed")
    )
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
