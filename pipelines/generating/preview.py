"""A sheet of examples: every group by every source, with their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ...datasets import PatternDataset, Source, split_pool
from ...hierarchy import HierError
from ...hierarchy.files import output
from ..marks import save_picture
from .formats import Pixels

SUFFIXES = (".png", ".jpg", ".jpeg")
GAP = 6  # px between images
MARGIN = 52  # px for a group's name
HEAD = 24  # px for the sources' names
BLOCKS = 2  # columns of groups, which make the sheet nearly square


def draw_sheet(dataset: PatternDataset, photos: Path | None, path: Path, split: str = "train") -> None:
    """Draw the dataset's groups from every source, image 0 of each, and save the picture to `path`."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise HierError(f"a sheet {path.name!r} cannot be drawn: give a name that ends in {' or '.join(SUFFIXES)}")
    sources = get_args(Source)
    pictures = split_pool(photos, split)
    columns = [
        _images(replace(dataset, source=source, pool=pictures if source == "photos" else None)) for source in sources
    ]
    sheet = _sheet(dataset.groups, sources, columns)
    with output(path) as file:
        save_picture(sheet, file, suffix)


def _images(dataset: PatternDataset) -> Pixels:
    images = dataset.batch(range(len(dataset.groups)))
    made: Pixels = (images * 255).round().byte().permute(0, 2, 3, 1).numpy()
    return made


def _sheet(groups: Sequence[str], sources: Sequence[str], columns: Sequence[Pixels]) -> Image.Image:
    size = columns[0].shape[1]
    blocks = BLOCKS if len(groups) > BLOCKS else 1
    rows = -(-len(groups) // blocks)
    wide = MARGIN + len(sources) * (size + GAP)
    sheet = Image.fromarray(np.full((HEAD + rows * (size + GAP), blocks * wide, 3), 255, dtype=np.uint8))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for i, name in enumerate(groups):
        left, top = i // rows * wide, HEAD + i % rows * (size + GAP)
        draw.text((left + MARGIN - 6, top + size / 2), name, "black", font, anchor="rm")
        for j, (source, images) in enumerate(zip(sources, columns, strict=True)):
            x = left + MARGIN + j * (size + GAP)
            sheet.paste(Image.fromarray(images[i]), (x, top))
            if i % rows == 0:
                draw.text((x + size / 2, HEAD / 2), source, "black", font, anchor="mm")
    return sheet
