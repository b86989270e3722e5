"""Near misses: patterns of a group that come within reach of a supergroup, by a known amount.

A weighted mix of a pattern with a pattern of a minimal supergroup on the same lattice has the smaller
group and breaks the larger one a little. Of atoms, those that only the supergroup makes equal are set apart: a little
off their places, wider or brighter. With such patterns a node learns where "broken" begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..hierarchy import GROUP_NAMES, Operation, Subgroup, group, in_supercell, maximal_subgroups
from .atoms import Atoms
from .orbits import arrays

MOVED, CHANGED = (0.005, 0.06), (0.03, 0.4)  # how far atoms are set apart: of the cell's edge; of width or brightness


@dataclass(frozen=True)
class NearMiss:
    """A group's operations and its supergroup's, both in the cell ``basis @ cell / shrink``.

    `shrink` makes the group's primitive cell as large as the supergroup's in ``basis``, so that its area
    gives nothing away. `share` in (0, 1) is the weight of the supergroup's pattern.
    """

    supergroup: str
    cell: NDArray[np.float64]
    shrink: float
    operations: tuple[Operation, ...]
    parent: tuple[Operation, ...]
    share: float


def draw_near_miss(rng: np.random.Generator, name: str) -> NearMiss:
    """A random minimal supergroup of `name` in a cell they share; every group has some."""
    choices = _relations()[name]
    kinds = sorted({sub.kind for _, sub, _ in choices})
    kind = kinds[int(rng.integers(len(kinds)))]
    pool = [c for c in choices if c[1].kind == kind]
    supergroup, sub, parent = pool[int(rng.integers(len(pool)))]
    cell = np.array(sub.cell, dtype=np.float64)
    shrink = float(np.sqrt(sub.index)) if kind == "k" else 1.0
    return NearMiss(supergroup, cell, shrink, sub.operations, parent, float(rng.uniform(0.4, 0.92)))


def set_apart(rng: np.random.Generator, atoms: Atoms, miss: NearMiss, basis: NDArray[np.float64]) -> Atoms:
    """Atoms of the supergroup in the common cell `basis` px, as atoms of the group: each of its orbits a site.

    Sites of one orbit of the supergroup differ in where they are, in width or in brightness, by amounts drawn anew for
    every pattern. A site stays on the axes and mirrors of the group that it lies on.
    """
    ways = rng.random(3) < (0.7, 0.3, 0.5)
    ways[int(rng.integers(3))] = True
    step = np.exp(rng.uniform(*np.log(MOVED))) * np.sqrt(abs(np.linalg.det(basis)))
    wider, brighter = (np.exp(rng.uniform(*np.log(CHANGED))) for _ in range(2))
    sites, widths, colours = [], [], []
    for site, width, colour in zip(atoms.sites, atoms.widths, atoms.colours, strict=True):
        for at in _orbits(site, miss):
            shift = np.linalg.solve(basis, step * rng.standard_normal(2))
            w, c = rng.standard_normal(2)
            sites.append(at + ways[0] * _kept(at, shift, miss.operations))
            widths.append(width * np.exp(ways[1] * wider * w).clip(0.6, 1.6))
            colours.append(colour * (1 + ways[2] * brighter * c).clip(0.1, 2))
    return Atoms(np.array(sites), np.array(widths), np.array(colours), atoms.background)


def _orbits(site: NDArray[np.float64], miss: NearMiss) -> list[NDArray[np.float64]]:
    """One point of each orbit of the group that the orbit of `site` under the supergroup falls into."""
    left, found = _images(site, miss.parent), []
    while len(left):
        found.append(left[0])
        left = left[~_same(left[:, None], _images(left[0], miss.operations)).any(1)]
    return found


def _images(site: NDArray[np.float64], operations: tuple[Operation, ...]) -> NDArray[np.float64]:
    W, w = arrays(operations)
    return W @ site + w


def _same(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray((np.abs(p - q - np.rint(p - q)) < 1e-6).all(-1))


def _kept(
    at: NDArray[np.float64], shift: NDArray[np.float64], operations: tuple[Operation, ...]
) -> NDArray[np.float64]:
    """What of `shift` keeps a site `at` on the symmetry that it has: the mean of its images."""
    W, _ = arrays(operations)
    mean: NDArray[np.float64] = (W[_same(_images(at, operations), at)] @ shift).mean(0)
    return mean


@lru_cache(maxsize=1)
def _relations() -> dict[str, list[tuple[str, Subgroup, tuple[Operation, ...]]]]:
    """For every group: its supergroups, itself as their subgroup, and their operations in the common cell."""
    found: dict[str, list[tuple[str, Subgroup, tuple[Operation, ...]]]] = {name: [] for name in GROUP_NAMES}
    for parent in GROUP_NAMES:
        for sub in maximal_subgroups(parent):
            found[sub.name].append((parent, sub, in_supercell(group(parent).operations, sub.cell)))
    return found
