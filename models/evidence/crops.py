"""Views of a large image: crops about its middle at several scales; the one with the clearest lattice is analysed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from .batches import joined
from .flatten import Flattened, flattened
from .lattice import Lattice, find_lattice

SIDE = 448  # px: geometric mean of height and width that is analysed at once
NARROWEST = 64  # px: a shorter side is not shrunk
FEWEST, SHORTEST = 6.0, 12.0  # cells in view, and px of the shorter lattice vector, that a view should have
SHRUNK = 20.0  # px of that vector that shrinking should leave
SMALLEST = 96  # px: side of the smallest part of an image that is looked at alone
PLAIN = 0.02  # of the grey range: a border that deviates by less is of one colour
Box = tuple[int, int, int, int]  # left, top, width and height in px


@dataclass(frozen=True)
class View:
    """A crop (C, h, w) about the image's middle; one px of it spans `scale` px of the image.

    `lattice` is that of the crop, a batch of one, if it has been found; then `level` is the crop flattened, on which it
    was, and `flat` what was done. Where only a `part` of the image was looked at, the crop is about that part's middle.
    """

    image: Tensor
    scale: float
    lattice: Lattice | None = None
    level: Tensor | None = None
    flat: Flattened | None = None
    part: Box | None = None

    @property
    def pixels(self) -> Tensor:
        """What is analysed (C, h, w): the flattened crop if there is one."""
        return self.image if self.level is None else self.level


def views(image: Tensor) -> list[View]:
    """The views of an image (C, H, W), from its own resolution to the whole of it; small images have one.

    An image about fifty times as long as it is wide has no view of the whole.
    """
    _, H, W = image.shape
    whole = (H * W) ** 0.5 / SIDE
    if whole <= 1.2:
        return [View(image, 1.0)]
    coarsest = max(1.0, min(whole, min(H, W) / NARROWEST))
    scales, scale = [], 1.0
    while scale < coarsest / 1.3:
        scales.append(scale)
        scale *= 2
    made = []
    for s in [*scales, coarsest]:
        h, w = (min(n, round(max(n * s / whole, NARROWEST * s))) for n in (H, W))
        top, left = (H - h) // 2, (W - w) // 2
        crop = image[:, top : top + h, left : left + w]
        size = (max(1, round(h / s)), max(1, round(w / s)))
        shrunk = crop if s == 1 else F.interpolate(crop[None], size, mode="bilinear", antialias=True)[0]
        made.append(View(shrunk, h / size[0]))
    return made


@torch.inference_mode()
def best_view(image: Tensor, device: torch.device | str = "cpu") -> View:
    """The view whose lattice repeats best, among those that show enough cells, finely enough.

    It keeps that lattice, on `device`. If there is only one view, no lattice is looked for.
    """
    choices = views(image)
    if len(choices) == 1:
        return choices[0]

    def merit(view: View, lattice: Lattice) -> float:
        cells = view.image[0].numel() / float(torch.linalg.det(lattice.basis[0]).abs())
        shortest = float(lattice.basis[0].norm(dim=0).min())
        enough = cells >= FEWEST and shortest >= (SHORTEST if view.scale == 1 else SHRUNK)
        return float(lattice.level[0]) - (0.0 if enough else 0.5)

    made = []
    for view in choices:
        level, lattice, flat = flattened(view.image[None].to(device), find_lattice)
        made.append((merit(view, lattice), replace(view, lattice=lattice, level=level[0].to(image.device), flat=flat)))
    return max(made, key=lambda pair: pair[0])[1]


def parts(image: Tensor) -> list[Box]:
    """Parts of an image (C, H, W) to look at where the whole shows no pattern.

    What is within a frame of one colour, then overlapping quarters and the middle, of half the height and width; only
    those of at least `SMALLEST` px a side, and of more than one colour.
    """
    left, top, width, height = _within_frame(image)
    made = [(left, top, width, height)] if (width, height) != (image.shape[-1], image.shape[-2]) else []
    w, h = width // 2, height // 2
    made += [(left + i * (width - w) // 2, top + j * (height - h) // 2, w, h) for j in range(3) for i in range(3)]
    return [box for box in made if min(box[2:]) >= SMALLEST and float(cut(image, box).std()) > 0]


def _within_frame(image: Tensor) -> Box:
    """The smallest box outside which every row and column is of one colour; the whole where nothing is left."""
    span = float(image.amax() - image.amin())
    sides = []
    for axis in (1, 2):
        busy = (image.std(axis).amax(0) > PLAIN * span).nonzero().flatten()
        sides.append((int(busy[0]), int(busy[-1]) + 1) if len(busy) else (0, image.shape[3 - axis]))
    (left, right), (top, bottom) = sides
    return left, top, right - left, bottom - top


def cut(image: Tensor, box: Box) -> Tensor:
    """The part of an image (C, H, W) that a box names."""
    left, top, width, height = box
    return image[:, top : top + height, left : left + width]


def stacked(some: Sequence[View]) -> tuple[Tensor, Lattice | None]:
    """Views of one size as images (B, C, h, w), flattened where they have been, with their lattices if all have one."""
    lattices = [view.lattice for view in some if view.lattice is not None]
    return torch.stack([view.pixels for view in some]), joined(lattices) if len(lattices) == len(some) else None
