"""How long a map of a large field takes, and in how much memory.

    python benchmarks/map.py [--size 4096] [--threads 2] [--exact]

The field is a .npy file on disk: p4m, p6 and noise in three domains, made of waves so that making it takes no time.
Prints the seconds of `map_field` with windows of 128 px 32 px apart, how many positions were measured, how many of them
show what is there, and the memory that it took beyond what was in use before.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from hier.models.classifier import Classifier
from hier.pipelines.field.domains import domains
from hier.pipelines.field.measure import map_field
from hier.pipelines.reading.images import open_picture
from numpy.typing import NDArray

WAVES = {4: ((1, 0), (1, 1), (2, 0)), 6: ((1, 0), (2, 1), (3, 1))}  # of p4m, and of p6, whose last two have a hand


def wave_sum(
    order: int, cell: float, turn: float, y: NDArray[np.float64], x: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Cosines of the orbits of a few reciprocal vectors under a rotation of this order, between 0 and 1."""
    angle = 2 * np.pi / order
    a = np.array([1.0, 0.0]) / cell / (np.sin(angle) if order == 6 else 1)
    b = np.array([np.cos(angle), np.sin(angle)]) @ np.array([[np.hypot(*a), 0], [0, np.hypot(*a)]])
    total = np.zeros(np.broadcast_shapes(y.shape, x.shape))
    for k, (h, m) in enumerate(WAVES[order]):
        q = h * a + m * b
        for step in range(order // 2):
            t = turn + step * angle
            qx, qy = np.cos(t) * q[0] - np.sin(t) * q[1], np.sin(t) * q[0] + np.cos(t) * q[1]
            total += (0.9, 0.7, 0.6)[k] * np.cos(2 * np.pi * (qx * x + qy * y))
    return 0.5 + total / (2 * 2.2 * (order // 2))


def write_field(path: Path, size: int) -> NDArray[np.int64]:
    """Write the field strip by strip; which domain (0, 1, 2) every 16th px shows."""
    image = np.lib.format.open_memmap(path, "w+", np.uint8, (size, size))
    rng = np.random.default_rng(0)
    x = np.arange(size)[None]
    shown = []
    for top in range(0, size, 256):
        y = np.arange(top, min(top + 256, size))[:, None]
        where = np.where(x + 0.3 * y < 0.55 * size, 0, np.where(y < 0.58 * size, 1, 2))
        square, hexagonal = wave_sum(4, 19.0, 0.3, y, x), wave_sum(6, 18.0, 0.7, y, x)
        image[top : top + 256] = (np.choose(where, [square, hexagonal, rng.random(where.shape)]) * 255).astype(np.uint8)
        shown.append(where[::16, ::16])
    image.flush()
    return np.concatenate(shown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--exact", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "field.npy")
        shown = write_field(path, given.size)
        classifier = Classifier.load()
        classifier.answer(torch.rand(16, 1, 128, 128))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        begun, worked = time.perf_counter(), time.process_time()
        found = map_field(classifier, open_picture(path, mapped=True), exact=given.exact)
        seconds, worked = time.perf_counter() - begun, time.process_time() - worked
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    names = np.array([classifier.labels.index("p4m"), classifier.labels.index("p6"), -1])
    truth = names[shown[np.ix_((found.y // 16).astype(int), (found.x // 16).astype(int))]]
    right = (domains(found).group == truth).mean()
    print(
        f"{given.size} x {given.size} px on {given.threads} threads: {seconds:.1f} s, {worked:.1f} s of processor time"
    )
    print(f"{found.measured.sum()} of {found.measured.size} positions measured, {100 * right:.1f} % show what is there")
    print(f"memory: {(after - before) / 1024:.0f} MiB more than the {before / 1024:.0f} MiB in use before")


if __name__ == "__main__":
    main()
