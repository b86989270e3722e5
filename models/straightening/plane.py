"""What straightening speaks of: the lattice in the straight plane, points of an image, and what windows of it show."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

FOLDS = 5  # parts of the windows, of which one after another is left out


@dataclass(frozen=True)
class Lattice:
    """A lattice in the straight plane: `basis` (2, 2), columns a and b, and a lattice point `origin` (2,)."""

    basis: Tensor
    origin: Tensor

    def fractions(self, points: Tensor) -> Tensor:
        """Fractional coordinates of straight points (..., 2)."""
        found: Tensor = (points - self.origin) @ torch.linalg.inv(self.basis).T
        return found

    @property
    def side(self) -> float:
        """Square root of the cell's area."""
        return float(torch.linalg.det(self.basis).abs().sqrt())


@dataclass(frozen=True)
class Windows:
    """Gaussian windows: weights along y (n, H) and x (m, W), their middles (n * m, 2).

    Of each `fold` (n * m,), 0 to `FOLDS` - 1, every fifth window is one, so that neighbours are of others.
    """

    y: Tensor
    x: Tensor
    at: Tensor
    fold: Tensor

    def sums(self, maps: Tensor) -> Tensor:
        """Weighted sums of maps (C, H, W): (C, n * m)."""
        return (self.y @ maps @ self.x.T).flatten(1)

    @classmethod
    def laid(cls, shape: tuple[int, int], grid: tuple[int, int], sigma: float, device: torch.device) -> Windows:
        """A `grid` of n x m windows over an image of `shape` (H, W), with a standard deviation of `sigma` px."""
        unit = math.sqrt(shape[0] * shape[1]) / 2
        weights, middles = [], []
        for count, side in zip(grid, shape, strict=True):
            centre = (torch.arange(count, device=device) + 0.5) * side / count - 0.5
            away = torch.arange(side, device=device) - centre[:, None]
            weights.append(torch.exp(-0.5 * (away / sigma).square()))
            middles.append((centre - (side - 1) / 2) / unit)
        y, x = torch.meshgrid(*middles, indexing="ij")
        row, column = (torch.arange(n, device=device) for n in grid)
        fold = ((row[:, None] + 2 * column) % FOLDS).flatten()
        return cls(weights[0], weights[1], torch.stack([x, y], -1).reshape(-1, 2), fold)


@dataclass(frozen=True)
class Measured:
    """At K windows: points of the image `at` (K, 2) and the `fractions` (K, 2) of the lattice that they show.

    `information` (K, 2, 2) is the inverse covariance of the straight point, `agreement` (K,) the correlation with the
    average cell; `used` (K,) tells which are to be relied on, `fold` (K,) which are left out together.
    """

    at: Tensor
    fractions: Tensor
    information: Tensor
    agreement: Tensor
    used: Tensor
    fold: Tensor


def connected(mask: Tensor, other: Tensor) -> Tensor:
    """The connected part of a mask (H, W) that has most in common with another; the largest, of itself."""
    from scipy import ndimage  # slow to import, and only images that hold a crystal in part need it

    parts, count = ndimage.label(mask.cpu().numpy())
    if not count:
        return torch.zeros_like(mask)
    common = np.bincount(parts[other.cpu().numpy()], minlength=count + 1)
    common[0] = 0
    found = torch.from_numpy(parts == common.argmax()) if common.any() else torch.zeros_like(mask)
    return found.to(mask.device)


def pixels(height: int, width: int, device: torch.device) -> Tensor:
    """The points of an image's pixels: (H, W, 2)."""
    unit = math.sqrt(height * width) / 2
    y, x = ((torch.arange(n, device=device) - (n - 1) / 2) / unit for n in (height, width))
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)
