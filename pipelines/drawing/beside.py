"""The autocorrelation of an image beside it, with the lattice that was tried on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ...models.evidence.autocorrelation import autocorrelation, blurred, bragg_filtered
from .colours import HALO, LINES
from .symbols import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REACH = 0.5  # of the image's sides: longest shift shown
BRIGHTEST = 99.5  # percentile, that the peak at zero does not darken the rest


@dataclass(frozen=True)
class Beside:
    """Autocorrelation (2 Y + 1, 2 X + 1), no shift in the middle; basis (2, 2) px of the lattice tried."""

    surface: Array
    basis: Array

    @classmethod
    def of(cls, image: Tensor, basis: Array) -> Beside:
        """That of an image (C, H, W), whose lattice has `basis` (2, 2) px."""
        half = autocorrelation(blurred(bragg_filtered(image[None].cpu().float()), 1.0), REACH)[0]
        whole = torch.cat([half[1:].flip((0, 1)), half])
        return cls(whole.double().numpy(), basis)

    @property
    def points(self) -> Array:
        """The lattice's points in view (N, 2), px from the middle, x right and y down."""
        high, wide = (n // 2 for n in self.surface.shape)
        most = int(np.ceil(np.hypot(high, wide) / max(float(np.linalg.svd(self.basis)[1][-1]), 1.0)))
        n = np.arange(-most, most + 1)
        points = np.stack(np.meshgrid(n, n), -1).reshape(-1, 2) @ self.basis.T
        inside: Array = points[(np.abs(points) <= (wide, high)).all(-1)]
        return inside

    def draw_on(self, axes: Axes, points: float) -> None:
        """The surface in greys, rings about the lattice's points, and what it is."""
        high, wide = (n // 2 for n in self.surface.shape)
        low, top = np.percentile(self.surface, (2, BRIGHTEST))
        edges = (-wide - 0.5, wide + 0.5, high + 0.5, -high - 0.5)
        axes.imshow(self.surface, cmap="gray", vmin=low, vmax=max(top, low + 1e-6), extent=edges)
        x, y = self.points.T
        for colour, width in ((HALO, 3.2), (LINES, 1.6)):
            axes.scatter(x, y, s=(12 * points) ** 2, facecolors="none", edgecolors=colour, linewidths=width * points)
        axes.set(xlim=edges[:2], ylim=edges[2:])
        axes.set_axis_off()
