"""Draw the example images, always with the same pixels, from the project's own generators.

    python examples/make.py [FOLDER]

Each image is named after its content, so that `hier predict examples/*.png` can be checked by eye.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import skimage.data
import torch
from hier.datasets import NonPatternDataset, PatternDataset, Pool
from hier.datasets.sources import square
from PIL import Image
from torch import Tensor

SIZE, PHOTO_SIZE = 320, 256  # px; pictures make larger files than atoms
SEED = 987_654_321  # not a seed of any training


def picture_pool() -> Pool:
    """One well-known picture, from which patterns are folded."""
    cat = Image.fromarray(skimage.data.chelsea())
    return Pool(torch.tensor(square(cat)).permute(2, 0, 1)[None].contiguous(), ("chelsea",))


def examples() -> dict[str, Tensor]:
    """Images (3, H, W) in [0, 1] by name."""
    made = {}
    for index, group in enumerate(("p4m", "p31m", "pgg", "cm", "p6")):
        made[f"atoms_{group}"] = PatternDataset("atoms", SEED, SIZE, groups=(group,), cells=(8, 20)).batch([index])[0]
    for index, group in enumerate(("p4g", "p3")):
        dataset = PatternDataset("photos", SEED, PHOTO_SIZE, groups=(group,), cells=(6, 12), pool=picture_pool())
        made[f"cat_{group}"] = dataset.batch([index])[0]
    made["noise_pmg"] = PatternDataset("noise", SEED, SIZE, groups=("pmg",), cells=(8, 20)).batch([0])[0]
    others = NonPatternDataset(SEED, PHOTO_SIZE, pool=picture_pool())
    kind = next(i for i in range(10) if others.label(i) == "photograph")
    made["no_pattern"] = others.batch([kind])[0]
    return made


def write(folder: Path) -> list[Path]:
    """Write every example as an 8-bit PNG; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, image in examples().items():
        levels = np.rint(255 * image.permute(1, 2, 0).numpy()).astype(np.uint8)
        files.append(folder / f"{name}.png")
        Image.fromarray(levels).save(files[-1], optimize=True)
    return files


if __name__ == "__main__":
    for file in write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent):
        print(file)
