"""From answers window by window to domains: neighbours, whose windows overlap, are weighed together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..reading.pixel_size import PixelSize
from .lattice import cell_of, same_lattice
from .measure import FieldMap

LEAST = 1e-3  # probabilities below it count as it: one confident error must not outvote its neighbours
CLEAR = 0.6  # of the usual level: lattices that repeat worse do not prove a boundary: they may be read across one
SHIFT = 0.25  # of a window: neighbours nearer than this, which share most of what they see, are averaged

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Domains:
    """What holds at every position of a field map, R x C, after neighbours were averaged.

    `group` (R, C): index of the label, -1 where nothing is periodic; `probability` (R, C) of that. `basis`
    (R, C, 2, 2): the lattice of the neighbour of that group that repeats best, NaN without a group, as in the map. `a`,
    `b` in px of the picture, `gamma` and the `angle` of `a` in degrees (see `lattice.cell_of`), NaN likewise. `below`
    and `right` (R, C): a boundary runs between this position and the next.
    """

    group: NDArray[np.int64]
    probability: Floats
    basis: Floats
    a: Floats
    b: Floats
    gamma: Floats
    angle: Floats
    below: NDArray[np.bool_]
    right: NDArray[np.bool_]

    @property
    def areas(self) -> Floats:
        """Areas of the primitive cells found, px^2: (N,), N the positions with a group."""
        found: Floats = np.abs(np.linalg.det(self.basis[np.isfinite(self.basis).all((-2, -1))]))
        return found


def domains(found: FieldMap) -> Domains:
    """Average the log-probabilities of neighbouring windows, and find what runs between domains."""
    rows, columns = found.pattern.shape
    pattern = found.pattern[..., None].astype(np.float64)
    every = np.concatenate([np.exp(found.log_probabilities) * pattern, 1 - pattern], -1)
    reach = [_reach(ticks, found.window) for ticks in (found.y, found.x)]
    mean = np.log(np.maximum(every, LEAST))
    for axis, n in enumerate(reach):
        mean = _box_mean(mean, axis, n)
    shares = np.exp(mean - mean.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    best = shares.argmax(-1)
    group = np.where(best == len(found.labels), -1, best)
    basis, level = _best_lattice(found, group, reach)
    cells = np.full((rows, columns, 4), np.nan)
    for i, j in np.argwhere((group >= 0) & np.isfinite(basis).all((-2, -1))):
        slope = None if found.slopes is None else found.slopes[i, j]
        cells[i, j] = cell_of(basis[i, j], found.labels[group[i, j]], slope)
    clear = level >= CLEAR * np.median(level[group >= 0]) if (group >= 0).any() else np.zeros_like(group, bool)
    clearest = np.where(clear[..., None, None], basis, np.nan)
    below, right = np.zeros((2, rows, columns), bool)
    below[:-1] = _differ(group[:-1], group[1:], clearest[:-1], clearest[1:])
    right[:, :-1] = _differ(group[:, :-1], group[:, 1:], clearest[:, :-1], clearest[:, 1:])
    a, b, gamma, angle = np.moveaxis(cells, -1, 0)
    return Domains(group, shares.max(-1), basis, a, b, gamma, angle, below, right)


def _reach(ticks: Floats, window: int) -> int:
    """Neighbours on each side that lie within `SHIFT` of a window."""
    return int(SHIFT * window / (ticks[1] - ticks[0])) if len(ticks) > 1 else 0


def _box_mean(values: Floats, axis: int, n: int) -> Floats:
    """Mean over `n` neighbours on each side along `axis`, fewer at the edges."""
    count = values.shape[axis]
    first, stop = np.maximum(np.arange(count) - n, 0), np.minimum(np.arange(count) + n + 1, count)
    sums = np.concatenate([np.zeros_like(values.take([0], axis)), values.cumsum(axis)], axis)
    shape = [-1 if k == axis else 1 for k in range(values.ndim)]
    mean: Floats = (sums.take(stop, axis) - sums.take(first, axis)) / (stop - first).reshape(shape)
    return mean


def _best_lattice(found: FieldMap, group: NDArray[np.int64], reach: list[int]) -> tuple[Floats, Floats]:
    """Basis and level of the neighbour that has a position's group and repeats best."""
    own = found.group
    level = np.full(group.shape, -np.inf)
    basis = np.full((*group.shape, 2, 2), np.nan)
    rows, columns = group.shape
    for di in range(-reach[0], reach[0] + 1):
        for dj in range(-reach[1], reach[1] + 1):
            i, j = np.clip(np.arange(rows) + di, 0, rows - 1), np.clip(np.arange(columns) + dj, 0, columns - 1)
            there = np.ix_(i, j)
            better = (own[there] == group) & (group >= 0) & (found.level[there] > level)
            level = np.where(better, found.level[there], level)
            basis = np.where(better[..., None, None], found.basis[there], basis)
    return basis, level


def _differ(one: NDArray[np.int64], other: NDArray[np.int64], basis: Floats, beside: Floats) -> NDArray[np.bool_]:
    known = np.isfinite(basis).all((-2, -1)) & np.isfinite(beside).all((-2, -1))
    differ: NDArray[np.bool_] = (one != other) | (known & (one >= 0) & ~same_lattice(basis, beside))
    return differ


def as_arrays(found: FieldMap, what: Domains, pixel: PixelSize | None) -> dict[str, Any]:
    """Everything under the names it has in the ``.npz`` file."""
    arrays: dict[str, Any] = {
        "labels": np.array(found.labels), "window": found.window, "y": found.y, "x": found.x,
        "group": what.group.astype(np.int16), "probability": what.probability.astype(np.float32),
        "periodic": what.group >= 0, "a": what.a.astype(np.float32), "b": what.b.astype(np.float32),
        "gamma": what.gamma.astype(np.float32), "angle": what.angle.astype(np.float32),
        "boundary_below": what.below, "boundary_right": what.right, "measured": found.measured,
        "window_group": found.group.astype(np.int16), "window_periodic_probability": found.pattern,
        "window_probabilities": np.exp(found.log_probabilities), "window_level": found.level,
        "window_basis": found.seen.astype(np.float32),
    }  # fmt: skip
    return arrays if pixel is None else arrays | {"pixel_size": pixel.value, "pixel_unit": np.array(pixel.unit)}
