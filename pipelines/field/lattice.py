"""Lattices of neighbouring windows: whether they are one, and how their cells are oriented."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...hierarchy import GROUP_NAMES, group
from ..answering.cells import conventional_vectors

TOLERANCE = 0.08  # of a lattice vector, by which another basis may miss the lattice
TURNS = {"hexagonal": 60.0, "square": 90.0}  # degrees after which a lattice looks the same

Array = NDArray[np.floating]


def same_lattice(one: Array, other: Array) -> NDArray[np.bool_]:
    """Whether bases (..., 2, 2), broadcast, span one lattice: each is the other by whole numbers.

    The result does not depend on which basis describes a lattice. Bases that are not finite span none.
    """
    finite = np.isfinite(one).all((-2, -1)) & np.isfinite(other).all((-2, -1))
    safe = np.where(np.isfinite(one), one, np.eye(2))
    with np.errstate(invalid="ignore"):
        ratio = np.linalg.solve(safe, np.where(np.isfinite(other), other, np.eye(2)))
    whole = np.round(ratio)
    determinant = whole[..., 0, 0] * whole[..., 1, 1] - whole[..., 0, 1] * whole[..., 1, 0]
    same: NDArray[np.bool_] = (np.abs(ratio - whole).max((-2, -1)) < TOLERANCE) & (np.abs(determinant) == 1) & finite
    return same


def cell_of(basis: Array, label: str, slope: Array | None = None) -> tuple[float, float, float, float]:
    """Conventional cell (a, b in px, gamma in degrees) and the angle of `a` in degrees.

    The angle is counter-clockwise from the image's horizontal, modulo what leaves the lattice alone: 60 degrees for a
    hexagonal one, 90 for a square one, 180 for others. `slope` (2, 2) turns the lattice into what is seen of it.
    """
    a, b = conventional_vectors(np.asarray(basis, dtype=np.float64), label)
    if slope is not None:
        a, b = slope @ a, slope @ b
    lengths = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    gamma = float(np.degrees(np.arccos(np.clip(a @ b / (lengths[0] * lengths[1]), -1, 1))))
    turn = TURNS.get(group(label).lattice_system, 180.0) if label in GROUP_NAMES else 180.0
    return *lengths, gamma, float(np.degrees(np.arctan2(-a[1], a[0])) % turn)
