"""Patterns to begin with, made where they are asked for."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image

from ...datasets import PatternDataset
from ...datasets.dataset import Source

SIDE = 512  # px


@dataclass(frozen=True)
class Example:
    """A pattern: `title` as shown, and how it is made."""

    title: str
    source: Source
    group: str
    seed: int
    index: int = 0


EXAMPLES = (
    Example("Tiles", "outlines", "p4g", 3),
    Example("Lace", "outlines", "p31m", 4, 1),
    Example("Atoms", "atoms", "p6m", 5, 1),
    Example("Rows of atoms", "atoms", "cmm", 6),
    Example("Grain", "noise", "pmg", 7, 2),
)


@lru_cache(maxsize=len(EXAMPLES))
def example_png(number: int) -> bytes:
    """The file of an example, a PNG of `SIDE` px a side."""
    chosen = EXAMPLES[number]
    image = PatternDataset(chosen.source, chosen.seed, SIDE, groups=(chosen.group,)).batch([chosen.index])[0]
    file = io.BytesIO()
    Image.fromarray((image * 255).round().byte().permute(1, 2, 0).numpy()).save(file, "png")
    return file.getvalue()
