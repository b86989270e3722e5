"""Near misses: patterns of a group that come within reach of a supergroup, by a known amount.

A weighted mix of a pattern with a pattern of a minimal supergroup on the same lattice has the smaller
group and breaks the larger one a little. With such patterns a node learns where "broken" begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..hierarchy import GROUP_NAMES, Operation, Subgroup, group, in_supercell, maximal_subgroups


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


@lru_cache(maxsize=1)
def _relations() -> dict[str, list[tuple[str, Subgroup, tuple[Operation, ...]]]]:
    """For every group: its supergroups, itself as their subgroup, and their operations in the common cell."""
    found: dict[str, list[tuple[str, Subgroup, tuple[Operation, ...]]]] = {name: [] for name in GROUP_NAMES}
    for parent in GROUP_NAMES:
        for sub in maximal_subgroups(parent):
            found[sub.name].append((parent, sub, in_supercell(group(parent).operations, sub.cell)))
    return found
