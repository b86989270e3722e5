"""Conventional cells: from the reduced basis of a lattice to the cell that a group is described in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...hierarchy import GROUP_NAMES, group
from ..reading.pixel_size import PixelSize

EQUAL = ("square", "hexagonal")  # lattice systems of which a and b are equally long
NEEDED = {"rectangular": 90.0, "square": 90.0, "hexagonal": 120.0}  # degrees between them
OBLONG, SKEW = 0.02, 1.5  # relative length, and degrees, from which a cell is off what its group needs


@dataclass(frozen=True)
class LatticeFound:
    """Conventional cell of the group found: `a`, `b` in px, `gamma` in degrees, and its lattice `system`.

    `off_lengths` and `off_angle` are how far the cell is from what the system needs: by how much `b` exceeds `a` in a
    square or hexagonal one, relative to `a`, and how far `gamma` is from 90 or 120 degrees. 0 where anything goes.
    `a_length` and `b_length` are the same in `unit` (pm, A, nm, um, mm, cm or m) where the size of a pixel is known.
    """

    a: float
    b: float
    gamma: float
    system: str
    centred: bool
    off_lengths: float = 0.0
    off_angle: float = 0.0
    a_length: float | None = None
    b_length: float | None = None
    unit: str | None = None

    def with_lengths(self, pixel: PixelSize | None) -> LatticeFound:
        """The same cell with lengths in the pixel's unit; without a pixel size, itself."""
        if pixel is None:
            return self
        return replace(self, a_length=self.a * pixel.value, b_length=self.b * pixel.value, unit=pixel.unit)


def conventional(basis: NDArray[np.float64], label: str) -> LatticeFound:
    """The conventional cell of the group `label` from the reduced primitive `basis` (2, 2) px."""
    a, b = conventional_vectors(basis, label)
    known = label in GROUP_NAMES
    name, centred = (group(label).lattice_system, group(label).centred) if known else ("oblique", False)
    gamma = float(np.degrees(np.arccos(np.clip(_cosine(a, b), -1, 1))))
    lengths = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    needed = NEEDED.get(name)
    return LatticeFound(
        *lengths, gamma, name, centred,
        off_lengths=abs(lengths[1] / lengths[0] - 1) if name in EQUAL else 0.0,
        off_angle=0.0 if needed is None else abs(gamma - needed),
    )  # fmt: skip


def shared_cell(basis: NDArray[np.float64], labels: Sequence[str]) -> LatticeFound:
    """The conventional cell of a lattice whose group may be any of `labels`: the most special one that it fits.

    Of no groups, or where it fits none of theirs, that of the one which it fits best.

    >>> shared_cell(np.diag([20.0, 31.0]), ("p2", "pmm", "cmm")).system
    'rectangular'
    >>> shared_cell(np.array([[20.0, -4.0], [0.0, 31.0]]), ("p2", "pmm", "cmm")).system
    'oblique'
    """
    cells = [conventional(basis, label) for label in labels]

    def merit(cell: LatticeFound) -> tuple[bool, int, float]:
        fits = cell.off_lengths <= OBLONG and cell.off_angle <= SKEW
        special = (cell.system in NEEDED) + (cell.system in EQUAL)
        return fits, special if fits else 0, -cell.off_lengths / OBLONG - cell.off_angle / SKEW

    return max(cells, key=merit, default=conventional(basis, ""))


def constrained(a: float, b: float, gamma: float, system: str) -> tuple[float, float, float]:
    """The cell of equal area that has what its lattice `system` needs; one that is further off stays as it is.

    >>> [round(x, 2) for x in constrained(20.0, 20.2, 119.8, "hexagonal")]
    [20.12, 20.12, 120.0]
    """
    needed = NEEDED.get(system)
    equal = system in EQUAL
    if needed is None or abs(gamma - needed) > SKEW or (equal and abs(b / a - 1) > OBLONG):
        return a, b, gamma
    ratio = math.sin(math.radians(gamma)) / math.sin(math.radians(needed))
    if equal:
        return (side := math.sqrt(a * b * ratio)), side, needed
    return a * math.sqrt(ratio), b * math.sqrt(ratio), needed


def conventional_vectors(basis: NDArray[np.float64], label: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same cell's vectors `a` and `b` (x right, y down) px."""
    a, b = basis.T
    if label in GROUP_NAMES and group(label).centred:
        # two ways to see a rhombus in a reduced cell: take the one with the right angle
        a, b = min(((a + b, a - b), (a, a + 2 * b)), key=lambda cell: abs(_cosine(*cell)))
        a, b = (a, b) if np.linalg.norm(a) <= np.linalg.norm(b) else (b, a)
    return a, b


def _cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
