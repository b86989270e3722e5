"""Where a map is measured: a grid of windows, coarse at first and finer where neighbours differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Place = tuple[int, int]  # row and column of the grid
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class _Block:
    """Positions between two rows and two columns of the grid, these included."""

    top: int
    bottom: int
    left: int
    right: int

    def parts(self) -> list[_Block]:
        """Halves or quarters that share their edges; none for a block with nothing between its corners."""
        rows = sorted({self.top, (self.top + self.bottom) // 2, self.bottom})
        columns = sorted({self.left, (self.left + self.right) // 2, self.right})
        whole = len(rows) <= 2 and len(columns) <= 2
        return [] if whole else _blocks(rows, columns)

    def corners(self) -> list[Place]:
        return [(i, j) for i in (self.top, self.bottom) for j in (self.left, self.right)]


def starts(length: int, window: int, stride: int) -> Integers:
    """First px of every window along a side of `length` px; the last window ends at its edge."""
    last = length - window
    return np.unique(np.append(np.arange(0, last + 1, stride), last))


def measured_places(
    rows: int,
    columns: int,
    step: int,
    measure: Callable[[Sequence[Place]], None],
    agree: Callable[[Sequence[Place]], bool],
) -> NDArray[np.bool_]:
    """Call `measure` for positions of the grid, `step` apart, then for those between positions that do not `agree`.

    Returns the mask (rows, columns) of what was measured. No position is measured twice. With step 1 all are.
    """
    done = np.zeros((rows, columns), bool)

    def visit(places: Sequence[Place]) -> None:
        new = sorted({place for place in places if not done[place]})
        if new:
            measure(new)
            done[tuple(np.transpose(new))] = True

    blocks = _blocks(_ticks(rows, step), _ticks(columns, step))
    visit([corner for block in blocks for corner in block.corners()])
    split = True
    while split:
        kept: list[_Block] = []
        split = False
        for block in blocks:
            inside = np.argwhere(done[block.top : block.bottom + 1, block.left : block.right + 1])
            places = [(block.top + int(i), block.left + int(j)) for i, j in inside]
            parts = [] if agree(places) else block.parts()
            split |= bool(parts)
            kept += parts or [block]
        blocks = kept
        visit([corner for block in blocks for corner in block.corners()])
    return done


def nearest_measured(done: NDArray[np.bool_]) -> Integers:
    """(rows, columns, 2): the measured position whose answer each position has, its own or the nearest one's."""
    from scipy.ndimage import distance_transform_edt

    nearest: Integers = distance_transform_edt(~done, return_distances=False, return_indices=True).astype(np.int64)
    return np.moveaxis(nearest, 0, -1)


def _ticks(count: int, step: int) -> list[int]:
    return sorted({*range(0, count, step), count - 1})


def _blocks(rows: Sequence[int], columns: Sequence[int]) -> list[_Block]:
    spans = list(pairwise(rows)) or [(rows[0], rows[0])]
    across = list(pairwise(columns)) or [(columns[0], columns[0])]
    return [_Block(i, k, j, m) for i, k in spans for j, m in across]
