"""Which of a group's equivalent origins is taken: the one nearest to the image's middle, or to a given point."""

from __future__ import annotations

from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ...hierarchy.placements import Setting

Array = NDArray[np.float64]
STEPS = 6  # origins that a group allows are whole numbers of sixths apart: halves, and thirds in p3 and p3m1


def central_origin(setting: Setting, origin: Array, basis: Array) -> Array:
    """The equivalent origin that is nearest to the image's middle; on free axes the foot of the perpendicular."""
    return _nearest(setting, origin, basis, np.zeros(2), [(0.0, 0.0)])


def allowed_origin(setting: Setting, origin: Array, basis: Array, near: Array) -> Array:
    """The origin allowed by the group's operations that is nearest to `near` (2,) px, both from the image's middle.

    `origin` is one such origin, in fractions of `basis` (2, 2) px, as is what is returned. Allowed are all origins
    about which the operations are written alike: in p4m those of both kinds of fourfold axes. They are the
    translations of the group's Euclidean normalizer (International Tables for Crystallography, Vol. A, chapter 3.5).
    """
    return _nearest(setting, origin, basis, near, _alike(setting))


def _nearest(setting: Setting, origin: Array, basis: Array, near: Array, others: list[tuple[float, float]]) -> Array:
    shifts = np.array(list(product((-2, -1, 0, 1, 2), repeat=2)))
    from_near = origin + np.array(others) - np.linalg.solve(basis, near)
    choices = ((from_near - np.round(from_near))[:, None] + shifts).reshape(-1, 2) @ basis.T
    for free in _free_axes(setting):
        u = basis @ free
        u = u / np.linalg.norm(u)
        choices = choices - (choices @ u)[:, None] * u
    return np.asarray(np.linalg.solve(basis, near + choices[np.linalg.norm(choices, axis=1).argmin()]))


@lru_cache(maxsize=128)
def _alike(setting: Setting) -> list[tuple[float, float]]:
    """Shifts t of the origin, in fractions of the cell, with (I - W) t a lattice vector for every operation (W, w)."""
    turned = np.concatenate([np.eye(2, dtype=int) - np.array(op.W) for op in setting.operations])
    steps = product(range(STEPS), repeat=2)
    return [(i / STEPS, j / STEPS) for i, j in steps if not (turned @ (i, j) % STEPS).any()]


def _free_axes(setting: Setting) -> list[Array]:
    """Directions in which the origin may be anywhere: both axes (p1), the line of the mirrors (pm, pg, cm) or none."""
    fixed = np.concatenate([np.eye(2) - np.array(op.W) for op in setting.operations])
    _, values, axes = np.linalg.svd(fixed)
    return [axis for value, axis in zip(values, axes, strict=True) if value < 1e-9]
