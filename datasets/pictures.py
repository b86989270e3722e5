"""Patterns of pictures, photographs or noise: points are folded into the domain and the picture is read there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .drawn import Pattern
from .fold import Folded, at_once, fold, times
from .orbits import Orbits, orbits
from .paste import Tile, into_tiles, to_pixels
from .sources import LEVELS, Pool, halved, levels, read
from .textures import SIDE


def orbits_of(patterns: Sequence[Pattern], parents: bool = False) -> Orbits:
    """Orbits of the patterns' generic points, or of the `parents` of near misses under their operations.

    The former are kept with each pattern: the guard needs them and then the image.
    """
    name = "parent_orbits" if parents else "orbits"
    if not all(name in p.__dict__ for p in patterns):
        operations = [p.near_miss.parent if parents and p.near_miss else p.operations for p in patterns]
        made = orbits(operations, np.stack([p.basis for p in patterns]), np.stack([p.generic for p in patterns]))
        for i, p in enumerate(patterns):
            p.__dict__[name] = made[i : i + 1]  # as a cached property does
        return made
    return Orbits.joined([p.__dict__[name] for p in patterns])


def pictures_at(patterns: Sequence[Pattern], points: Tensor, pool: Pool | None, own: Orbits | None = None) -> Tensor:
    """Fold `points` (B, P, 2) px relative to the patterns' origins and read the pictures there: (B, 3, P).

    Photographs are those of `pool`; patterns of noise carry their own pictures and need no pool. `own` are their
    orbits where they are known.
    """
    if patterns[0].tile is not None:
        points = into_tiles(points, _tiles(patterns))
    values = _fold_and_read(patterns, own or orbits_of(patterns), points, pool)
    mixed = [i for i, p in enumerate(patterns) if p.near_miss is not None]
    if mixed:
        chosen = [patterns[i] for i in mixed]
        shares = torch.tensor([p.near_miss.share for p in chosen if p.near_miss], device=points.device)
        share = shares[:, None, None]
        other = _fold_and_read(chosen, orbits_of(chosen, parents=True), points[mixed], pool)
        values[mixed] = (1 - share) * values[mixed] + share * other
    grey = [i for i, p in enumerate(patterns) if p.grey]
    if len(grey) == len(patterns):
        return values.mean(1, keepdim=True).expand(-1, 3, -1)
    if grey:
        values[grey] = values[grey].mean(1, keepdim=True).expand(-1, 3, -1)
    return values


def _fold_and_read(patterns: Sequence[Pattern], own: Orbits, points: Tensor, pool: Pool | None) -> Tensor:
    scale = _scales(patterns, own)
    c, s = (f([p.turn for p in patterns]) for f in (np.cos, np.sin))
    turn = (scale * np.array([[c, -s], [s, c]])).transpose(2, 0, 1)
    if patterns[0].tile is None:
        folded = fold(own, points, turn)
    else:
        first = fold(own, points).nearest
        centres = np.array([p.basis @ p.generic for p in patterns])[:, None]
        halves = np.array([tile.half for tile in _tiles(patterns)])[:, None, None]
        centre, half, matrix = (torch.from_numpy(t).to(points.device, points.dtype) for t in (centres, halves, turn))
        none = points.new_empty(0)
        nearest = times(matrix, to_pixels(first + centre, half) - centre)
        folded = Folded(nearest, none.long(), none.reshape(0, 2), none)
    level = levels(torch.from_numpy(scale))
    if not at_once(points.device):
        return _read_in_turn(patterns, folded, level, pool)
    first, (at, runner, weight) = folded.nearest, folded[1:]
    second, share = first.flatten(0, 1).index_copy(0, at, runner), first.new_ones(points.shape[:2]).flatten()
    second, share = second.reshape(first.shape), share.index_copy_(0, at, weight).reshape(points.shape[:2])
    values = points.new_empty(len(patterns), 3, points.shape[1])
    for chosen, picture in halved_pictures(patterns, level, pool, points.device, together=True):
        one, two = read(picture, first[chosen]), read(picture, second[chosen])
        values[chosen] = two + share[chosen, None] * (one - two)
    return values


def _read_in_turn(patterns: Sequence[Pattern], folded: Folded, level: Tensor, pool: Pool | None) -> Tensor:
    """One picture after the other, seams alone read twice: on a CPU, whose cache holds one."""
    B, P, _ = folded.nearest.shape
    ends = torch.searchsorted(folded.seam, P * torch.arange(B + 1)).tolist()
    values = []
    for i, (_, picture) in enumerate(halved_pictures(patterns, level, pool, folded.nearest.device, together=False)):
        seam = slice(ends[i], ends[i + 1])
        values.append(read(picture, folded.nearest[i : i + 1]))
        if ends[i] < ends[i + 1]:
            at, second = folded.seam[seam] - i * P, read(picture, folded.runner[None, seam])[0]
            first = values[i][0].index_select(1, at)
            values[i][0].index_copy_(1, at, second + folded.weight[seam] * (first - second))
    return torch.cat(values) if B > 1 else values[0]


def _tiles(patterns: Sequence[Pattern]) -> list[Tile]:
    return [p.tile for p in patterns if p.tile]


def halved_pictures(
    patterns: Sequence[Pattern], level: Tensor, pool: Pool | None, device: torch.device, together: bool
) -> Iterator[tuple[slice | Tensor, Tensor]]:
    """Which patterns, and their pictures (b, 3, s, s) at their `level`: all of one level together or one by one."""
    if not together:
        for i, p in enumerate(patterns):
            yield slice(i, i + 1), halved(_pictures_of([p], pool).to(device), int(level[i]))
        return
    for k in range(LEVELS):
        chosen = (level == k).nonzero().flatten()
        if len(chosen):
            pictures = _pictures_of([patterns[i] for i in chosen.tolist()], pool)
            yield chosen.to(device), halved(pictures.to(device), k)


def _pictures_of(patterns: Sequence[Pattern], pool: Pool | None) -> Tensor:
    """The pictures (b, 3, s, s): those of a pool, as bytes, or their own, as floats."""
    if pool is not None:
        return pool.take([p.picture for p in patterns if isinstance(p.picture, int)])
    return torch.from_numpy(np.stack([p.picture for p in patterns if isinstance(p.picture, np.ndarray)]))


def _scales(patterns: Sequence[Pattern], own: Orbits) -> NDArray[np.float64]:
    """How many px of the picture one px of each pattern spans: as many as its domain leaves room for, or fewer."""
    widest = 0.48 * SIDE / own.radius
    reach = np.array([p.reach for p in patterns])
    scale = 0.7 * np.maximum(widest / 0.7, 1.0) ** reach
    return np.where([isinstance(p.picture, np.ndarray) for p in patterns], 1.0, scale)
