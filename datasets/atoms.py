"""Patterns of atoms: a few sites, their widths and colours, drawn so that nothing about them tells the group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..hierarchy import Operation
from ..hierarchy.operations import IDENTITY
from .orbits import arrays, moved

USUAL = 4  # atoms in a primitive cell that have the widths drawn; more are narrower, fewer wider
WIDEST = 0.2  # of the primitive cell's edge


@dataclass(frozen=True)
class Atoms:
    """Sites (n, 2) in fractional coordinates, widths (n,) px, colours (n, 3), and the background (3,)."""

    sites: NDArray[np.float64]
    widths: NDArray[np.float64]
    colours: NDArray[np.float64]
    background: NDArray[np.float64]


def draw_atoms(rng: np.random.Generator, operations: Sequence[Operation], cell_area: float) -> Atoms:
    """One to three species, up to four sites of the asymmetric unit, in colour or grey.

    `cell_area` is the primitive cell's, in px^2: widths are drawn relative to it, for all groups alike, and scaled
    so that the share of the cell that atoms cover does not grow with their number. Otherwise brightness and
    contrast would give the group away: a general site is one atom in p1 and twelve in p6m.
    With probability 0.4 a site is moved onto the centre or the mirror of a random operation of the cell; the
    identity and glides leave it where it is.
    """
    species = int(rng.integers(1, 4))
    count = int(rng.integers(1, 5))
    kind = rng.integers(0, species, count)
    relative = np.exp(rng.uniform(np.log(0.04), np.log(0.13), species))
    widths = np.sqrt(cell_area) * relative
    grey = rng.random() < 0.5
    colours = rng.uniform(0.3, 1.0, (species, 1)).repeat(3, 1) if grey else rng.uniform(0, 1, (species, 3))
    background = np.repeat(rng.uniform(0.0, 0.3), 3)
    if rng.random() < 0.15:
        background, colours = background + 0.6, -0.6 * colours
    sites = rng.random((count, 2))
    for i in range(count):
        if rng.random() < 0.4:
            sites[i] = _special(operations[int(rng.integers(len(operations)))], sites[i])
    translations = sum(op.W == IDENTITY for op in operations)
    atoms = multiplicities(operations, sites).sum() / translations
    widths = np.clip(widths * np.sqrt(USUAL / atoms), 0.9, max(WIDEST * np.sqrt(cell_area), 0.9))
    return Atoms(sites, widths[kind], colours[kind], background)


def multiplicities(operations: Sequence[Operation], sites: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many atoms each of the sites (n, 2) is in the cell of `operations`: fewer of them on a special position."""
    W, w = arrays(tuple(operations))
    return np.asarray((~repeated((moved(W, sites[:, None]) + w) % 1)).sum(1))


def repeated(q: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of the positions (..., J, 2), modulo 1, repeat an earlier one of the same J: (..., J)."""
    apart = q[..., :, None, :] - q[..., None, :, :]
    apart -= np.rint(apart)
    return np.asarray(np.triu((np.abs(apart) < 1e-6).all(-1), 1).any(-2))


def _special(operation: Operation, site: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of the images of `site` under the powers of `operation`: fixed by it, unless it is a glide."""
    (a, b), (c, d) = operation.W
    tx, ty = map(float, operation.w)
    (x0, y0) = x, y = site.tolist()
    orbit = []
    for _ in range(6):  # no operation has a higher order
        orbit.append((x, y))
        x, y = a * x + b * y + tx, c * x + d * y + ty
        if abs(x - x0) <= 1e-8 + 1e-5 * abs(x0) and abs(y - y0) <= 1e-8 + 1e-5 * abs(y0):
            middle: NDArray[np.float64] = np.array(orbit).mean(axis=0)
            return middle
    return site
