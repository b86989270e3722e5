"""Random lattices: cell area, shape, orientation and origin, drawn the same way for every group of a lattice system.

Nothing here depends on the group beyond its lattice system, so none of these numbers gives the group away.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..hierarchy import WallpaperGroup

Array = NDArray[np.float64]
Orientation = Literal["any", "aligned"]
Metric = Literal["oblique", "rectangular", "rhombic", "square", "hexagonal"]

# A lattice may be more symmetric than its pattern: a p1 pattern on a square lattice is still p1.
_METRICS: dict[str, tuple[tuple[Metric, ...], tuple[float, ...]]] = {
    "oblique": (("oblique", "rectangular", "rhombic", "square", "hexagonal"), (0.6, 0.1, 0.1, 0.1, 0.1)),
    "rectangular": (("rectangular", "square"), (0.8, 0.2)),
    "rhombic": (("rhombic", "square", "hexagonal"), (0.8, 0.1, 0.1)),
    "square": (("square",), (1.0,)),
    "hexagonal": (("hexagonal",), (1.0,)),
}


def lattice_family(group: WallpaperGroup) -> str:
    """Lattice system of `group`, the centred rectangular one counted separately as ``rhombic``."""
    return "rhombic" if group.centred else group.lattice_system


def draw_basis(
    rng: np.random.Generator,
    family: str,
    area: tuple[float, float],
    orientation: Orientation = "any",
    max_aspect: float = 2.2,
) -> Array:
    """Conventional basis, columns `a` and `b` in px (y down), shape (2, 2).

    `area` is the range of the *primitive* cell's area in px^2, drawn log-uniformly; a rhombic (centred)
    conventional cell has twice that. With ``aligned``, `a` points along +x.
    """
    kinds, weights = _METRICS[family]
    metric = kinds[rng.choice(len(kinds), p=weights)]
    aspect = np.exp(rng.uniform(np.log(1.08), np.log(max_aspect)))
    if rng.random() < 0.5:
        aspect = 1.0 / aspect
    gamma = 90.0
    centred = family == "rhombic"
    match metric:
        case "square":
            aspect = 1.0
        case "hexagonal":
            aspect, gamma = (3.0**0.5, 90.0) if centred else (1.0, 120.0)
        case "rhombic" if not centred:
            gamma = float(rng.choice([rng.uniform(66.0, 84.0), rng.uniform(96.0, 114.0)]))
            aspect = 1.0
        case "rhombic":
            aspect = aspect if abs(aspect**2 - 3.0) > 0.3 and abs(aspect**-2 - 3.0) > 0.3 else 1.4
        case "oblique":
            gamma = float(rng.choice([rng.uniform(64.0, 84.0), rng.uniform(96.0, 116.0)]))
    target = np.exp(rng.uniform(np.log(area[0]), np.log(area[1]))) * (2.0 if centred else 1.0)
    a_length = np.sqrt(target / (aspect * np.sin(np.radians(gamma))))
    turn = rng.uniform(0.0, 360.0)
    angle = np.radians(turn if orientation == "any" else 0.0)
    a = a_length * np.array([np.cos(angle), -np.sin(angle)])
    second = angle + np.radians(gamma)
    b = aspect * a_length * np.array([np.cos(second), -np.sin(second)])
    return np.stack([a, b], axis=1)


def reduce_basis(basis: Array) -> Array:
    """`reduce_bases` of one basis (2, 2)."""
    reduced: Array = reduce_bases(basis[None])[0]
    return reduced


def reduce_bases(bases: Array) -> Array:
    """Lagrange-reduced bases (B, 2, 2) of lattices in double precision.

    Which of two equally long vectors comes first decides the order of atoms, and so which random displacement each of
    them gets: different arithmetic, such as that of `models.evidence.lattice`, would draw different images.
    """
    a, b = bases.astype(np.float64).transpose(2, 0, 1).copy()
    left = np.arange(len(bases))
    while len(left):
        p, q = a[left], b[left]
        longer = (_dot(p, p) > _dot(q, q))[:, None]
        p, q = np.where(longer, q, p), np.where(longer, p, q)
        ratio = _dot(p, q) / _dot(p, p)
        more = np.abs(ratio) > 0.5 + 1e-9  # rounding alone would swap vectors forever on hexagonal lattices
        a[left], b[left] = p, np.where(more[:, None], q - np.rint(ratio)[:, None] * p, q)
        left = left[more]
    return np.stack([a, b], -1)


def _dot(p: Array, q: Array) -> Array:
    return np.asarray((p[:, None] @ q[..., None])[:, 0, 0])
