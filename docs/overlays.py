"""Draw the overlays that the documents show: `overlay.png`, of an example, and `overlays.jpg`, one for each group.

    python docs/overlays.py [FOLDER]

The patterns come from the project's generators, folded from scikit-image's pictures and made of atoms in turn.
"""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from hier.datasets import PatternDataset
from hier.hierarchy import GROUP_NAMES, HierError
from hier.pipelines.drawing.overlay import encoded
from PIL import Image

import hier

ROOT = Path(__file__).parent.parent
SEED, SIZE, CELLS = 31_415, 224, (5.0, 12.0)
COLUMNS, TILE, GAP = 5, 400, 12  # px
LARGEST = 600_000  # bytes
KINDS = "made of atoms", "folded from a picture"


def patterns() -> dict[str, np.ndarray]:
    """An image (SIZE, SIZE, 3) of each group, at any orientation."""
    made = {}
    for k, name in enumerate(GROUP_NAMES):
        dataset = PatternDataset("photos" if k % 2 else "atoms", SEED, SIZE, groups=(name,), cells=CELLS)
        made[name] = dataset.batch([k])[0].permute(1, 2, 0).numpy()
    return made


def sheet(model: hier.Predictor) -> Image.Image:
    """Overlays of all groups, in the tables' order."""
    images = patterns()
    tiles = []
    for k, (name, found) in enumerate(zip(images, model.predict(list(images.values()), keep=True), strict=True)):
        if found.group != name:
            raise HierError(f"{found.group} was predicted for the {name} pattern: choose another seed")
        with Image.open(io.BytesIO(encoded(replace(found, file=KINDS[k % 2]).plot(), ".png"))) as picture:
            tile = picture.convert("RGB")
        tiles.append(tile.resize((TILE, round(TILE * tile.height / tile.width)), Image.Resampling.LANCZOS))
    height = max(tile.height for tile in tiles)
    rows = -(-len(tiles) // COLUMNS)
    whole = Image.new("RGB", (COLUMNS * (TILE + GAP) + GAP, rows * (height + GAP) + GAP), "#d9d9de")
    for k, tile in enumerate(tiles):
        whole.paste(tile, (GAP + k % COLUMNS * (TILE + GAP), GAP + k // COLUMNS * (height + GAP)))
    return whole


def write(folder: Path) -> list[Path]:
    """Write both pictures; returns their files."""
    folder.mkdir(parents=True, exist_ok=True)
    model = hier.load()
    (example,) = model.predict(ROOT / "examples" / "cat_p4g.png")
    with Image.open(io.BytesIO(encoded(example.plot(), ".png"))) as picture:
        picture.convert("RGB").quantize(256).save(folder / "overlay.png", optimize=True)
    whole = sheet(model)
    for quality in range(85, 40, -5):
        whole.save(folder / "overlays.jpg", quality=quality, optimize=True, progressive=True)
        if (folder / "overlays.jpg").stat().st_size < LARGEST:
            break
    return [folder / "overlay.png", folder / "overlays.jpg"]


if __name__ == "__main__":
    for file in write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent):
        print(file, f"{file.stat().st_size / 1000:.0f} kB")
