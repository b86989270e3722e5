"""What is drawn for one pattern, before any pixel of it is made."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..hierarchy import Operation
from .atoms import REACH, Atoms, spots
from .disorder import Spots, displaced, thinned
from .guard import Frame
from .near_miss import NearMiss
from .orbits import Orbit, orbit
from .outlines import Outlines
from .paste import Tile, tiled


@dataclass(frozen=True)
class Pattern:
    """Everything that is drawn for one image. Lengths in px, y down, origin relative to its middle."""

    operations: tuple[Operation, ...]
    basis: NDArray[np.float64]
    origin: NDArray[np.float64]
    frame: Frame
    generic: NDArray[np.float64]
    near_miss: NearMiss | None
    tile: Tile | None
    picture: int | NDArray[np.float32] | None
    turn: float
    reach: float
    grey: bool
    atoms: Atoms | None
    outlines: Outlines | None
    refused: int
    """How many draws the label guard rejected before this one."""

    @cached_property
    def orbit(self) -> Orbit:
        """Orbit of the generic point."""
        return orbit(self.operations, self.basis, self.generic)

    def spots(self, lower: NDArray[np.float64], upper: NDArray[np.float64]) -> Spots:
        """`atoms.spots` in the box `lower`..`upper` px about the origin, on whole pixels where it is pasted."""
        assert self.atoms is not None
        if self.tile is None:
            return spots(self.atoms, self.operations, self.basis, lower, upper)
        reach = 0.5 * np.abs(self.tile.exact).sum(1) + 1
        margin = REACH * self.atoms.widths.max()
        at, site = spots(self.atoms, self.operations, self.basis, -reach, reach)
        return tiled(at, site, self.tile, lower - margin, upper + margin)

    def disordered(self, found: Spots, name: str, severity: float, rng: np.random.Generator) -> Spots:
        """The spots `found` after the corruption `name`, ``thermal`` or ``vacancies``."""
        if name == "vacancies":
            return thinned(found, severity, rng)
        return displaced(found, abs(np.linalg.det(self.frame.basis)), severity, rng)
