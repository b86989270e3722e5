"""Accuracy on a folder of labelled images to which noise is added, as Guo, Qin and Agar do.

    python benchmarks/noisy_folder.py FOLDER [--noise 0.3] [--seed 0]

FOLDER has one subfolder of images for each group. The noise is uniform, each channel of each pixel by itself, and
spans the share --noise of the grey range; what leaves the range is clipped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from hier.hierarchy import GROUP_NAMES
from PIL import Image

import hier


def noisy(file: Path, span: float, rng: np.random.Generator) -> np.ndarray:
    """An image (H, W, 3) in [0, 1] with its noise."""
    with Image.open(file) as picture:
        image = np.asarray(picture.convert("RGB"), dtype=np.float32) / 255
    return (image + rng.uniform(-span / 2, span / 2, image.shape).astype(np.float32)).clip(0, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--noise", type=float, default=0.3)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    files = sorted(f for name in GROUP_NAMES for f in (given.folder / name).glob("*"))
    if not files:
        parser.error(f"{given.folder} has no images in subfolders named after groups")
    rng, model, right, refused = np.random.default_rng(given.seed), hier.load(), 0, 0
    for file in files:
        (found,) = model.predict_each([noisy(file, given.noise, rng)])
        right += getattr(found, "group", None) == file.parent.name
        refused += not getattr(found, "periodic", False)
    print(f"{given.folder}, noise of {given.noise:g}: {right} of {len(files)} right, {100 * right / len(files):.1f} %")
    print(f"refused as not periodic: {refused}")


if __name__ == "__main__":
    main()
