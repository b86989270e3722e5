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


@dataclass(frozen=True)
class View:
    """A crop (C, h, w) about the image's middle; one px of it spans `scale` px of the image.

    `lattice` is that of the crop, a batch of one, if it has been found; then `level` is the crop flattened, on which it
    was, and `flat` what was done.
    """

    image: Tensor
    scale: float
    lattice: Lattice | None = None
    level: Tensor | None = None
    flat: Flattened | None = None

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


def stacked(some: Sequence[View]) -> tuple[Tensor, Lattice | None]:
    """Views of one size as images (B, C, h, w), flattened where they have been, with their lattices if all have one."""
    lattices = [view.lattice for view in some if view.lattice is not None]
    return torch.stack([view.pixels for view in some]), joined(lattices) if len(lattices) == len(some) else None
