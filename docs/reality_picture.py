"""Draw `reality.jpg`: images of kinds that were misread once, with what `hier` reads in them now.

    python docs/reality_picture.py [FILE]

All of them may be shown: scikit-image's picture of boards, and drawings and patterns made here.
"""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from hier.datasets import Corruption, PatternDataset
from hier.pipelines.answering.ladder import in_words
from hier.pipelines.answering.results import Prediction
from hier.pipelines.drawing.overlay import encoded
from PIL import Image, ImageDraw
from skimage import data

import hier

SIDE = 288  # px of an image
COLUMNS, TILE, GAP, LINE = 3, 460, 14, 24  # px of the picture
QUALITY = 82


def honeycomb() -> np.ndarray:
    """Hexagons drawn by Pillow, whose lines are rounded to pixels."""
    image = Image.new("L", (SIDE, SIDE), 235)
    pen, r = ImageDraw.Draw(image), 17.3
    corners = [(r * np.cos(t), r * np.sin(t)) for t in np.arange(6) * np.pi / 3]
    for i in range(-1, 13):
        for j in range(-1, 12):
            x, y = 1.5 * r * i, np.sqrt(3) * r * (j + i % 2 / 2)
            pen.polygon([(x + u, y + v) for u, v in corners], outline=40)
    return np.asarray(image)


def every_fifth(seed: int = 0) -> np.ndarray:
    """Atoms on a square lattice, every fifth of them a third weaker, and noise."""
    y, x = np.mgrid[:SIDE, :SIDE]
    image = 0.1 + 0.04 * np.random.default_rng(seed).standard_normal((SIDE, SIDE))
    turn = 0.3
    a, b = 19.0 * np.array([np.cos(turn), np.sin(turn)]), 19.0 * np.array([-np.sin(turn), np.cos(turn)])
    for i in range(-20, 21):
        for j in range(-20, 21):
            at = i * a + j * b + SIDE / 2
            height = 0.66 if (i + 2 * j) % 5 == 0 else 1.0
            image += 0.8 * height * np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * 3.6**2))
    return image.astype(np.float32)


def pattern(source: str, group: str, index: int, *corruptions: Corruption) -> np.ndarray:
    """A pattern of the project's generators, spoilt."""
    dataset = PatternDataset(source, 31_415, SIDE, groups=(group,), cells=(14.0, 22.0), corruptions=corruptions)
    return dataset.batch([index])[0].permute(1, 2, 0).numpy()


def framed() -> np.ndarray:
    """A crystal as in a published figure: within a frame, beside a bar of colours."""
    page = np.full((SIDE, SIDE + 60, 3), 255, dtype=np.uint8)
    crystal = pattern("atoms", "p4g", 3)[:200, :200]
    page[40:240, 30:230] = (255 * crystal).astype(np.uint8)
    page[40:240, 260:280] = np.linspace(255, 0, 200).astype(np.uint8)[:, None, None]
    return page


def images() -> dict[str, np.ndarray]:
    """Titles and images."""
    return {
        "lines rounded to pixels": honeycomb(),
        "every fifth atom weaker": every_fifth(),
        "boards in perspective, which are refused": data.brick()[:SIDE, :SIDE],
        "p31m, copies displaced and shaded": pattern("photos", "p31m", 4, Corruption("workmanship", (3, 3))),
        "p4g under one edge of shadow": pattern("photos", "p4g", 2, Corruption("shadow", (4, 4))),
        "a crystal within a figure": framed(),
    }


def tile(title: str, found: Prediction) -> Image.Image:
    """The overlay of one image, with its ladder below."""
    with Image.open(io.BytesIO(encoded(replace(found, file=title).plot(), ".png"))) as picture:
        drawn = picture.convert("RGB").resize((TILE, round(TILE * picture.height / picture.width)))
    whole = Image.new("RGB", (TILE, drawn.height + LINE), "white")
    whole.paste(drawn, (0, 0))
    ImageDraw.Draw(whole).text((8, drawn.height + 3), in_words(found.ladder), fill="#333333", font_size=14)
    return whole


def write(file: Path) -> Path:
    """Write the picture."""
    made = images()
    found = hier.load().predict(list(made.values()), keep=True)
    tiles = [tile(title, one) for title, one in zip(made, found, strict=True)]
    height, rows = max(t.height for t in tiles), -(-len(tiles) // COLUMNS)
    whole = Image.new("RGB", (COLUMNS * (TILE + GAP) + GAP, rows * (height + GAP) + GAP), "#d9d9de")
    for k, one in enumerate(tiles):
        whole.paste(one, (GAP + k % COLUMNS * (TILE + GAP), GAP + k // COLUMNS * (height + GAP)))
    whole.save(file, quality=QUALITY, optimize=True, progressive=True)
    return file


if __name__ == "__main__":
    written = write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("reality.jpg"))
    print(written, f"{written.stat().st_size / 1000:.0f} kB")
