"""How fast images are made, what the label guard rejects, and what memory an export takes.

    python benchmarks/datasets.py [--photos DIR] [--images 136] [--batch 16] [--repeats 2] [--rates 0] [--memory]
        [--device cuda]

Prints figures, decides nothing. Speeds are of one CPU core, in seconds that it worked, or of the device named, beside
Pillow's decoding of a 500 x 375 px JPEG on that core, so that machines can be compared: the fastest of `--repeats`.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import torch
from hier.datasets import SOURCES, PatternDataset, split_pool
from hier.hierarchy import GROUP_NAMES
from PIL import Image

CONSTRUCTIONS = ("fold", "paste")
SEED = 77


def rate(work: Callable[[], int], seconds: float = 1.0) -> float:
    """How often a second: `work` returns its count and is repeated until `seconds` have passed."""
    work()
    begun, done = time.process_time(), 0
    while time.process_time() - begun < seconds:
        done += work()
    return done / (time.process_time() - begun)


def jpeg_decoding() -> float:
    """JPEG files that Pillow decodes in a second on this core."""
    picture = np.random.default_rng(0).normal(0, 1, (47, 63, 3)).clip(-2, 2)
    file = io.BytesIO()
    pixels = Image.fromarray(np.uint8(64 * picture + 128)).resize((500, 375), Image.Resampling.BICUBIC)
    pixels.save(file, "jpeg", quality=90)

    def decode() -> int:
        Image.open(io.BytesIO(file.getvalue())).load()
        return 1

    return rate(decode)


def speeds(photos: Path | None, count: int, size: int, device: str, batch: int, repeats: int) -> None:
    decoding = jpeg_decoding()
    clock = time.process_time if device == "cpu" else time.perf_counter
    print(f"{size} x {size} x 3 px on {device}; Pillow decodes {decoding:.0f} JPEG/s on one core in this run")
    for source, construction in product(SOURCES, CONSTRUCTIONS):
        pool = split_pool(photos, "train") if source == "photos" else None
        dataset = PatternDataset(source, SEED, size, construction=construction, pool=pool)  # type: ignore[arg-type]
        dataset.batch(range(batch), device)
        taken = []
        for _ in range(repeats):
            begun = clock()
            for k in range(0, count, batch):
                dataset.batch(range(k, k + batch), device).sum().item()
            taken.append(clock() - begun)
        made = -(-count // batch) * batch / min(taken)
        print(f"  {source:9}{construction:7}{made:9.1f} images/s{made / decoding:8.3f} of decoding")


def refusals(photos: Path | None, each: int, size: int) -> None:
    """Share of draws that the label guard rejects, from `each` accepted images of every group."""
    print(f"draws rejected by the label guard, per cent, {each} images of each group")
    print("  " + " " * 15 + "".join(f"{name:>6}" for name in GROUP_NAMES) + "   all")
    for source, construction in product(SOURCES, CONSTRUCTIONS):
        pool = split_pool(photos, "train") if source == "photos" else None
        dataset = PatternDataset(source, SEED, size, construction=construction, pool=pool)  # type: ignore[arg-type]
        refused: Counter[str] = Counter()
        for k in range(each):
            indices = range(17 * k, 17 * k + 17)
            patterns, _ = dataset.accepted(indices)
            refused.update({dataset.label(i): p.refused for i, p in zip(indices, patterns, strict=True)})
        shares = [100 * refused[name] / (refused[name] + each) for name in GROUP_NAMES]
        total = 100 * refused.total() / (refused.total() + 17 * each)
        print(f"  {source:8}{construction:7}" + "".join(f"{s:6.1f}" for s in shares) + f"{total:6.1f}")


def memory() -> None:
    """Peak memory of the process that writes an export, of few images and of many."""
    for count in (100, 2000):
        with tempfile.TemporaryDirectory() as folder:
            command = ["generate", "--source", "atoms", "--size", "128", "--count", str(count), "--format", "npy",
                       "--shard", "200", "--out", f"{folder}/out"]  # fmt: skip
            child = os.spawnv(
                os.P_NOWAIT, sys.executable, ["python", "-c", "from hier.cli.app import main; main()", *command]
            )
            _, status, usage = os.wait4(child, 0)
            print(f"  {count:5} images: {usage.ru_maxrss / 1024:.0f} MB at most, exit code {status}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--images", type=int, default=136)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, help="images asked for at a time; 16 on a CPU, 512 elsewhere")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rates", type=int, default=0, help="images of each group for the guard's rates")
    parser.add_argument("--memory", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.images:
        batch = given.batch or (16 if given.device == "cpu" else 512)
        speeds(given.photos, given.images, given.size, given.device, batch, given.repeats)
    if given.rates:
        refusals(given.photos, given.rates, given.size)
    if given.memory:
        memory()


if __name__ == "__main__":
    main()
