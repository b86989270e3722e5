"""Near misses: patterns of a group that come within reach of a supergroup, by a known amount.

A weighted mix of a pattern with a pattern of a minimal supergroup on the same lattice has the smaller
group and breaks the larger one a little. With such patterns a node learns where "broken" begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..hierarchy import GROUP_NAMES, Operation, group, in_supercell, maximal_subgroups


@dataclass(frozen=True)
class NearMiss:
    """A group's operations and its supergroup's, both in the cell ``basis @ cell / shrink``.

    `share` in (0, 1) is the weight of the supergroup's pattern.
    """

    supergroup: str
    cell: NDArray[np.float64]
    shrink: float
    operations: tuple[Operation, ...]
    parent: tuple[Operation, ...]
    share: float


def draw_near_miss(rng: np.random.Generator, name: str) -> NearMiss | None:
    """A random minimal supergroup of `name` in a cell they share, None for p6m on the same lattice alone."""
    choices = _relations()[name]
    kinds = sorted({kind for kind, *_ in choices})
    if not kinds:
        return None
    kind = kinds[int(rng.integers(len(kinds)))]
    pool = [c for c in choices if c[0] == kind]
    _, supergroup, cell, operations, parent = pool[int(rng.integers(len(pool)))]
    matrix = np.array(cell, dtype=np.float64)
    shrink = float(np.sqrt(abs(np.linalg.det(matrix))))
    return NearMiss(supergroup, matrix, shrink, operations, parent, float(rng.uniform(0.4, 0.92)))


Cell = tuple[tuple[int, int], tuple[int, int]]
Relation = tuple[str, str, Cell, tuple[Operation, ...], tuple[Operation, ...]]


@lru_cache(maxsize=1)
def _relations() -> dict[str, list[Relation]]:
    found: dict[str, list[Relation]] = {name: [] for name in GROUP_NAMES}
    for parent in GROUP_NAMES:
        for sub in maximal_subgroups(parent):
            whole = in_supercell(group(parent).operations, sub.cell)
            found[sub.name].append((sub.kind, parent, sub.cell, sub.operations, whole))
    return found
