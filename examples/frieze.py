"""Train a tree of your own: the seven frieze groups, of patterns that repeat along a strip only.

    python examples/frieze.py

Strips are made here from random dots. They are stacked, because the classifier needs images that repeat in two
directions. The tests use new dots, and strips of broken lines, a motif that is not in the training.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import hier

Array = NDArray[np.float32]
TREE = Path(__file__).with_suffix(".yaml")
SIZE = 192  # px
# For each group, the images of a point (x, y) of a strip, x in periods: (sign of x, sign of y, shift along x).
OPERATIONS = {
    "p111": [(1, 1, 0.0)],
    "p11g": [(1, 1, 0.0), (1, -1, 0.5)],
    "p11m": [(1, 1, 0.0), (1, -1, 0.0)],
    "p1m1": [(1, 1, 0.0), (-1, 1, 0.0)],
    "p2": [(1, 1, 0.0), (-1, -1, 0.0)],
    "p2mg": [(1, 1, 0.0), (-1, 1, 0.5), (1, -1, 0.5), (-1, -1, 0.0)],
    "p2mm": [(1, 1, 0.0), (-1, 1, 0.0), (1, -1, 0.0), (-1, -1, 0.0)],
}


def dots(rng: np.random.Generator) -> Array:
    """Four to nine spots (N, 4): position (x in periods, y in half heights), radius in px, brightness."""
    n = int(rng.integers(4, 10))
    columns = rng.random(n), rng.uniform(-0.8, 0.8, n), rng.uniform(1.2, 2.5, n), rng.uniform(0.4, 1.0, n)
    return np.stack(columns, 1).astype(np.float32)


def lines(rng: np.random.Generator) -> Array:
    """A bent line of three strokes, as a row of small spots (N, 4)."""
    corners = np.stack([rng.uniform(0, 0.9, 4), rng.uniform(-0.85, 0.85, 4)], 1)
    t = np.linspace(0, 1, 25, endpoint=False)[:, None]
    points = np.concatenate([(1 - t) * p + t * q for p, q in pairwise(corners)])
    rest = np.broadcast_to([1.3, 1.0], (len(points), 2))
    return np.concatenate([points, rest], 1).astype(np.float32)


def strip(group: str, motif: Array, period: float, height: int, start: float) -> Array:
    """A strip (height, SIZE) of the motif's images under all operations of `group`."""
    x = np.arange(SIZE) / period + start
    y = np.arange(height) - (height - 1) / 2
    drawn = np.zeros((height, SIZE), np.float32)
    for turn, tip, shift in OPERATIONS[group]:
        for along, up, radius, bright in motif:
            dx = x - (turn * along + shift)
            dx = (dx - np.round(dx)) * period
            dy = y - tip * up * (height / 2 - 3)
            spot = np.exp(-0.5 * (dy / radius) ** 2)[:, None] * np.exp(-0.5 * (dx / radius) ** 2)
            drawn = np.maximum(drawn, (bright * spot).astype(np.float32))
    return drawn


def stacked(one: Array, gap: int) -> Array:
    """Copies of the strip below each other, with empty rows between: (SIZE, SIZE).

    Exactly below, so that no symmetry is lost, and further apart than the strip's period, so that no strip has a
    square lattice by chance.
    """
    row = np.pad(one, ((0, gap), (0, 0)))
    return np.tile(row, (-(-SIZE // len(row)), 1))[:SIZE]


def images(count: int, seed: int, draw: object = dots) -> tuple[Array, list[str]]:
    """`count` stacked strips (count, SIZE, SIZE), grey with noise, and their groups, in turn."""
    made, labels = [], []
    for k in range(count):
        rng = np.random.default_rng([seed, k])
        group = list(OPERATIONS)[k % len(OPERATIONS)]
        period, height, gap = rng.uniform(16, 30), int(rng.integers(26, 37)), int(rng.integers(10, 15))
        one = strip(group, draw(rng), period, height, rng.random())  # type: ignore[operator]
        noise = rng.uniform(0, 0.1) * rng.standard_normal((SIZE, SIZE))
        made.append(stacked(one, gap) + noise)
        labels.append(group)
    return np.stack(made).astype(np.float32), labels


def sheet(path: Path) -> None:
    """One row for each group, dots on the left and broken lines on the right."""
    rows = []
    for k in range(len(OPERATIONS)):
        pair = [images(len(OPERATIONS), 5, draw)[0][k][:80] for draw in (dots, lines)]
        rows.append(np.pad(np.concatenate(pair, 1), ((0, 8), (0, 0)), constant_values=1))
    Image.fromarray((255 * np.clip(np.concatenate(rows), 0, 1)).round().astype(np.uint8)).save(path)


def main() -> None:
    """Train, test, and check the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=700, help="training images; each test has half as many")
    parser.add_argument("--epochs", type=int, help="of the backbone; nodes get a quarter; 120 if left out")
    parser.add_argument("--least", type=float, default=0.95, help="lowest accuracy accepted")
    parser.add_argument("--sheet", type=Path, help="only draw strips of every group, to this file")
    given = parser.parse_args()
    if given.sheet:
        return sheet(given.sheet)
    tuning = None if given.epochs is None else max(1, given.epochs // 4)
    model = hier.HierarchicalClassifier(TREE, epochs=given.epochs, tune_epochs=tuning)
    model.fit(*images(given.count, seed=1))
    for kind, draw, seed in (("dots", dots, 2), ("lines", lines, 3)):
        X, y = images(given.count // 2, seed, draw)
        predicted = model.predict(X)
        right = float(np.mean(predicted == y))
        wrong = sorted({f"{a} for {b}" for a, b in zip(predicted, y, strict=True) if a != b})
        print(f"{kind}: {100 * right:.1f} % of {len(y)} correct; wrong: {', '.join(wrong) or 'none'}", flush=True)
        assert right >= given.least, f"{kind}: {right:.3f} is less than {given.least}"


if __name__ == "__main__":
    main()
