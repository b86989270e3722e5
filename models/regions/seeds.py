"""Where regions begin: windows of an image that repeat, those first that repeat best."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..evidence.crops import Box, cut
from ..evidence.lattice import find_lattice
from ..straightening.plane import Lattice

SHARES = (1.0, 0.7, 0.5, 0.35, 0.25)  # of the sides, of windows
NARROWEST = 64  # px: a window's shorter side
LEAST = 0.3  # least worth of a seed
FEW, PENALTY = 8.0, 0.3  # cells in a window from which its lattice is doubted, and by how much of its level
NEEDLE, EDGES = 3.0, 0.5  # a cell so many times as long as wide may come of an edge; by how much that is doubted


@dataclass(frozen=True, eq=False)
class Seed:
    """A window `box` of an image, its `lattice` about the window's middle, and what it is worth, up to 1.

    The lattice is in units of half the geometric mean of the image's sides, as in `Matcher`.
    """

    lattice: Lattice
    box: Box
    merit: float


def seeds(image: Tensor) -> list[Seed]:
    """Windows of an image (C, H, W) that repeat, of several sizes, each overlapping the next by half or more."""
    _, height, width = image.shape
    unit = math.sqrt(height * width) / 2
    made = []
    for share in SHARES:
        w, h = round(share * width), round(share * height)
        if share < 1 and min(w, h) < NARROWEST:
            break
        across = 1 if share == 1 else math.ceil(2 / share) - 1
        boxes = [
            (round(i * (width - w) / max(1, across - 1)), round(j * (height - h) / max(1, across - 1)), w, h)
            for j in range(across) for i in range(across)
        ]  # fmt: skip
        found = find_lattice(torch.stack([cut(image, box) for box in boxes]))
        cells = h * w / torch.linalg.det(found.basis).abs()
        long = found.basis.norm(dim=1)
        needles = long.amax(1) > NEEDLE * long.amin(1)
        merits = (found.level - PENALTY * (FEW / cells - 0.5).clamp(0, 1) - EDGES * needles).tolist()
        for box, basis, merit in zip(boxes, found.basis, merits, strict=True):
            left, top, *_ = box
            middle = image.new_tensor([left + (w - width) / 2, top + (h - height) / 2]) / unit
            if merit > LEAST:
                made.append(Seed(Lattice(basis / unit, middle), box, merit))
    return sorted(made, key=lambda seed: -seed.merit)
