"""Folders of labelled images that every row is measured on, whoever made them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from ...hierarchy import GROUP_NAMES, HierError, UnknownNameError, group
from ..measuring.labelled import NONE, has_table, read_table
from ..reading.images import ImageError, images_in, read_image
from .data import ImageSet, Stage

logger = logging.getLogger("hier")


def labelled_files(folder: Path) -> list[tuple[tuple[str, ...], Path]]:
    """The right answers to each image of a folder, and its file; those that have none, non-periodic ones, are left out.

    The folder has a subfolder of images for each group, or a ``labels.csv``. HierError if it has neither.
    """
    if has_table(folder):
        rows = read_table(folder, GROUP_NAMES)
        pairs = [(tuple(a for a in row.acceptable if a != NONE), folder / row.name) for row in rows]
        found = [(right, file) for right, file in pairs if right]
    else:
        pairs_in = list(images_in(folder)) if folder.is_dir() else []
        found = [((_group(folder, name),), file) for name, file in pairs_in]
    if not found:
        raise HierError(f"--sets {folder}: no images: it needs a labels.csv, or one subfolder of images for each group")
    return found


def _group(folder: Path, name: str) -> str:
    try:
        return group(name).name
    except UnknownNameError as error:
        raise UnknownNameError(f"subfolder of --sets {folder}", name, GROUP_NAMES) from error


def named(folders: Sequence[Path]) -> dict[str, Path]:
    """Folders by their last name, all different; HierError if two are alike."""
    found: dict[str, Path] = {}
    for folder in folders:
        name = folder.resolve().name
        if name in found:
            raise HierError(
                f"--sets {folder}: a set {name} is given already ({found[name]}): rename one of the folders"
            )
        found[name] = folder
    return found


def square(image: Tensor, side: int) -> Tensor:
    """The middle square of an image (3, H, W), reduced or enlarged to (3, side, side)."""
    H, W = image.shape[-2:]
    least = min(H, W)
    top, left = (H - least) // 2, (W - least) // 2
    middle = image[None, :, top : top + least, left : left + least]
    if least == side:
        return middle[0]
    return F.interpolate(middle, (side, side), mode="bilinear", antialias=least > side, align_corners=False)[0]


def foreign_set(folder: Path, name: str, side: int, kept: Path, stage: Stage) -> ImageSet:
    """The images of a folder as `square` has them; a warning for each that cannot be read.

    What rows compute of them is kept in `kept`. HierError if none can be read.
    """
    pairs = labelled_files(folder)
    advance = stage(f"images: {name}", len(pairs))
    images, labels = [], []
    for right, file in pairs:
        try:
            images.append(square(read_image(file), side).mul(255).round().byte().numpy())
            labels.append(right)
        except ImageError as error:
            logger.warning("--sets %s: %s is left out: %s", folder, file.name, error)
        advance(1)
    if not images:
        raise HierError(f"--sets {folder}: none of its {len(pairs)} images can be read")
    array = np.stack(images)
    digest = hashlib.sha256(array.tobytes()).hexdigest()[:16]
    return ImageSet(array, None, tuple(labels), kept / f"foreign-{digest}.npy")
