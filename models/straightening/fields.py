"""What straightens an image: a field of one family with its parameters, and how well it does."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .families import Family
from .plane import Lattice

FOCAL = 1.2  # focal length relative to the longer side, unless told: 45 degrees in view


@dataclass(frozen=True)
class Field:
    """A field that straightens an image of `width` x `height` px, and how well it does.

    `parameters` are the family's, on points in units of `unit` px from the middle. `error` and `error_se` are the
    cross-validated error of the displacement and its standard error, px; `agreement` is the correlation of the cells
    with each other, 1 at best. `lattice` is that of the straight plane, in the same unit. `within` (n, n) tells which
    of so many parts of the image have that lattice, None for all of them.
    """

    family: Family
    parameters: Tensor
    lattice: Lattice
    error: float
    error_se: float
    agreement: float
    width: int
    height: int
    within: Tensor | None = None

    @property
    def unit(self) -> float:
        """Half the geometric mean of the sides, px."""
        return math.sqrt(self.width * self.height) / 2

    @property
    def kind(self) -> str:
        """Name of the family."""
        return self.family.name

    def strain(self) -> float:
        """Root mean square over the image of how much the field stretches one direction more than the other.

        It is the square root of the ratio of the principal stretches, less 1; perspective's own includes no tilt.
        """
        t = torch.linspace(-0.9, 0.9, 13)
        z = torch.stack(torch.meshgrid(t * self.width, t * self.height, indexing="xy"), -1).reshape(-1, 2)
        z, step = (z / (2 * self.unit)).to(self.parameters), 1e-2
        columns = [
            (self.family.apply(z + e, self.parameters) - self.family.apply(z - e, self.parameters)) / (2 * step)
            for e in step * torch.eye(2).to(z)
        ]
        stretch = torch.linalg.svdvals(torch.stack(columns, -1))
        ratio = (stretch[:, 0] / stretch[:, 1].clamp_min(1e-3)).sqrt() - 1
        return float(ratio.square().mean().sqrt())

    def tilt(self, focal: float = FOCAL) -> tuple[float, float]:
        """Tilt of a perspective and its direction, degrees, for a `focal` length relative to the longer side.

        The direction is that in which the plane recedes, counter-clockwise from the image's horizontal.
        """
        x, y = self.parameters.tolist()
        steep = math.hypot(x, y) * focal * max(self.width, self.height) / self.unit
        return math.degrees(math.atan(steep)), math.degrees(math.atan2(-y, x)) % 360
