"""Draw docs/distortion.jpg: distorted patterns, made here, with what `hier` finds drawn on them, and straightened.

    python docs/distortion_picture.py [FOLDER]

The patterns come from the project's generators: folded from scikit-image's pictures, made of atoms, of noise, of lines.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
from hier.datasets import Corruption, PatternDataset
from hier.hierarchy import HierError
from hier.pipelines.drawing.overlay import encoded
from PIL import Image

import hier

SEED, SIZE, CELLS = 27_182, 256, (7.0, 16.0)
SHOWN = (("photos", "perspective", 5, "p4g"), ("noise", "barrel", 5, "p6m"), ("atoms", "creep", 5, "cmm"),
         ("photos", "bend", 5, "p31m"))  # fmt: skip
TILE, GAP = 380, 12  # px


def tile(pixels: np.ndarray) -> Image.Image:
    """A picture (H, W, 3) in [0, 1], in the middle of a tile."""
    picture = Image.fromarray((255 * np.clip(pixels, 0, 1)).round().astype(np.uint8))
    scale = TILE / max(picture.size)
    picture = picture.resize((round(scale * picture.width), round(scale * picture.height)), Image.Resampling.LANCZOS)
    whole = Image.new("RGB", (TILE, TILE), "#d9d9de")
    whole.paste(picture, ((TILE - picture.width) // 2, (TILE - picture.height) // 2))
    return whole


def column(model: hier.Predictor, source: str, kind: str, severity: float, group: str) -> list[Image.Image]:
    """A distorted pattern, the same with its elements on it, and straightened."""
    step = Corruption(kind, (severity, severity))
    dataset = PatternDataset(source, SEED, SIZE, groups=(group,), cells=CELLS, corruptions=(step,))  # type: ignore[arg-type]
    image = dataset.batch([2])[0].permute(1, 2, 0).numpy()
    (found,) = model.predict(image, keep=True)
    if found.group != group or found.field is None or found.source is None:
        raise HierError(f"{found.group} was predicted for the {group} pattern: choose another seed")
    print(f"{kind}: {found.group}, {found.field}")
    with Image.open(io.BytesIO(encoded(found.plot(), ".png"))) as picture:
        drawn = picture.convert("RGB").crop((0, 0, picture.width, picture.width))
    return [tile(image), tile(np.asarray(drawn) / 255), tile(found.source.read().permute(1, 2, 0).numpy())]


def main(folder: Path) -> None:
    """Write the picture."""
    folder.mkdir(parents=True, exist_ok=True)
    model = hier.load()
    columns = [column(model, *what) for what in SHOWN]
    whole = Image.new("RGB", (len(columns) * (TILE + GAP) + GAP, 3 * (TILE + GAP) + GAP), "#d9d9de")
    for k, tiles in enumerate(columns):
        for row, one in enumerate(tiles):
            whole.paste(one, (GAP + k * (TILE + GAP), GAP + row * (TILE + GAP)))
    whole.save(folder / "distortion.jpg", quality=82, optimize=True)
    print(folder / "distortion.jpg")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
