"""How fast the bundled model answers, against one forward pass of timm's ResNet50 on the same images and cores.

    python benchmarks/predict.py [--images 64] [--size 256] [--threads 2]

Prints images per second of both, their ratio (best of three rounds, taken in turns), and the peak memory of a predict
call at batch 64. Images are patterns of atoms, photographs and noise from the project's generators.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable

import timm
import torch
from hier.datasets import SOURCES, PatternDataset
from hier.models.classifier import Classifier
from torch import Tensor

BATCH = 16


def seconds(run: Callable[[Tensor], object], images: Tensor, batch: int = BATCH) -> float:
    started = time.perf_counter()
    for part in images.split(batch):
        run(part)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    share = -(-given.images // len(SOURCES))
    images = torch.cat([PatternDataset(s, 5, given.size).batch(range(share)) for s in SOURCES])[: given.images]
    ours = Classifier.load()
    resnet = timm.create_model("resnet50").eval()
    with torch.inference_mode():
        rounds = [(seconds(ours.answer, images), seconds(resnet, images)) for _ in range(3)]
        fast, slow = (given.images / min(column) for column in zip(*rounds, strict=True))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        seconds(ours.answer, images[:64], 64)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{given.images} images of {given.size} px on {given.threads} threads, batches of {BATCH}")
    print(f"hier, lattice to group: {fast:8.1f} images/s")
    print(f"ResNet50, forward:      {slow:8.1f} images/s")
    print(f"ratio:                  {fast / slow:8.2f}")
    print(f"peak memory, batch 64:  {peak / 1024:8.0f} MiB ({before / 1024:.0f} MiB before)")


if __name__ == "__main__":
    main()
