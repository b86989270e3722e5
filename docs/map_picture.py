"""Draw docs/map.png: a field of three patterns and a corner of noise, made here, and its map by `hier map`.

    python docs/map_picture.py

The field is a mosaic of p4m, p6 and p4m rotated by 25 degrees.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from hier.datasets import PatternDataset
from hier.datasets.textures import smooth_noise
from numpy.typing import NDArray
from PIL import Image


def pattern(group: str, area: float, seed: int, size: int) -> NDArray[np.float32]:
    """A pattern of atoms with cells of `area` px^2, (size, size) in [0, 1]."""
    cells = (size**2 / area * 0.97, size**2 / area * 1.03)
    image: NDArray[np.float32] = PatternDataset("atoms", seed, size, groups=(group,), cells=cells).batch([0])[0].mean(0)
    return np.asarray(image)


def field(size: int) -> NDArray[np.float32]:
    """Domains that meet along straight lines, in proportion to `size`."""
    y, x = np.mgrid[:size, :size] / size
    left, upper = x + 0.3 * y < 0.55, y < 0.6 - 0.1 * x
    grain = left & (y > 0.9 - x)
    which = np.select([grain, left, upper], [3, 0, 1], 2)
    noise = np.clip(0.5 + 0.2 * smooth_noise(np.random.default_rng(3), 2.0, 1, size)[0], 0, 1)
    parts = [pattern("p4m", 400, 5, size), pattern("p6", 350, 5, size), noise, pattern("p4m", 400, 8, size)]
    return np.choose(which, parts).astype(np.float32)


def main() -> None:
    """Make the field in a folder of its own, and map it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("map.png"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder, "field.png")
        Image.fromarray((field(given.size) * 255).round().astype(np.uint8)).save(image)
        drawn = Path(folder, "field_map.png")
        command = [
            sys.executable,
            "-c",
            "from hier.cli.app import main; main()",
            "map",
            str(image),
            "--out",
            str(drawn),
        ]
        subprocess.run(command, check=True)
        with Image.open(drawn) as picture:
            picture.resize((picture.width * 3 // 5, picture.height * 3 // 5)).quantize(200).save(
                given.out, optimize=True
            )


if __name__ == "__main__":
    main()
