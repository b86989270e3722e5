"""What is drawn for one pattern, before any pixel of it is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..hierarchy import Operation
from .atoms import Atoms
from .disorder import displaced, thinned
from .guard import Frame
from .near_miss import NearMiss
from .orbits import Orbit, orbit
from .outlines import Outlines
from .paste import Tile, tiled
from .spots import REACH, Spots, spots


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
        """`spots_of` this pattern in one box."""
        return spots_of([self], lower[None], upper[None])[0]

    def disordered(self, found: Spots, name: str, severity: float, rng: np.random.Generator) -> Spots:
        """The spots `found` after the corruption `name`, ``thermal`` or ``vacancies``."""
        if name == "vacancies":
            return thinned(found, severity, rng)
        return displaced(found, abs(np.linalg.det(self.frame.basis)), severity, rng)


def spots_of(patterns: Sequence[Pattern], lower: NDArray[np.float64], upper: NDArray[np.float64]) -> list[Spots]:
    """`spots` of atoms in the boxes `lower`..`upper` (B, 2) px about the origins, on whole pixels where pasted."""
    atoms = [p.atoms for p in patterns if p.atoms]
    tiles = [p.tile for p in patterns if p.tile]
    reach = np.array([0.5 * np.abs(t.exact).sum(1) + 1 for t in tiles])
    box = (-reach, reach) if tiles else (lower, upper)
    found = spots(atoms, [p.operations for p in patterns], np.stack([p.basis for p in patterns]), *box)
    if not tiles:
        return found
    margins = [REACH * a.widths.max() for a in atoms]
    boxes = zip(found, tiles, lower, upper, margins, strict=True)
    return [tiled(at, site, tile, low - m, high + m) for (at, site), tile, low, high, m in boxes]
