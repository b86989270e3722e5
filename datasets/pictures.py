"""Patterns of pictures, photographs or noise: points are folded into the domain and the picture is read there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from .drawn import Pattern
from .fold import Orbit, fold, orbit, times
from .paste import into_tile, to_pixels
from .sources import SIDE, Pool, halved, levels, read


def pictures_at(patterns: Sequence[Pattern], points: Tensor, pool: Pool | None) -> Tensor:
    """Fold `points` (B, P, 2) px relative to the patterns' origins and read the pictures there: (B, 3, P).

    Photographs are those of `pool`; patterns of noise carry their own pictures and need no pool.
    """
    if patterns[0].tile is not None:
        pairs = zip(points, patterns, strict=True)
        points = torch.stack([into_tile(x, p.tile) if p.tile else x for x, p in pairs])
    values = _fold_and_read(patterns, [p.orbit for p in patterns], points, pool)
    mixed = [i for i, p in enumerate(patterns) if p.near_miss is not None]
    if mixed:
        chosen = [patterns[i] for i in mixed]
        parents = [orbit(p.near_miss.parent, p.basis, p.generic) for p in chosen if p.near_miss]
        shares = torch.tensor([p.near_miss.share for p in chosen if p.near_miss], device=points.device)
        share = shares[:, None, None]
        other = _fold_and_read(chosen, parents, points[mixed], pool)
        values[mixed] = (1 - share) * values[mixed] + share * other
    grey = [i for i, p in enumerate(patterns) if p.grey]
    if grey:
        values[grey] = values[grey].mean(1, keepdim=True).expand(-1, 3, -1)
    return values


def _fold_and_read(patterns: Sequence[Pattern], orbits: Sequence[Orbit], points: Tensor, pool: Pool | None) -> Tensor:
    scale = np.array([_scale(p, o) for p, o in zip(patterns, orbits, strict=True)])
    c, s = (f([p.turn for p in patterns]) for f in (np.cos, np.sin))
    turn = torch.from_numpy(scale * np.array([[c, -s], [s, c]])).permute(2, 0, 1).to(points)
    if patterns[0].tile is None:
        first, second, weight = fold(orbits, points, turn)
    else:
        first, _, weight = fold(orbits, points)
        for i, p in enumerate(patterns):
            if p.tile is not None:
                generic = torch.from_numpy(p.basis @ p.generic).to(points)
                first[i] = to_pixels(first[i] + generic, p.tile) - generic
        first = second = times(turn, first)
        weight = torch.ones_like(weight)
    values = points.new_empty(len(patterns), 3, points.shape[1])
    level, gpu = levels(torch.from_numpy(scale)), points.device.type != "cpu"
    for chosen, picture in halved_pictures(patterns, level, pool, points.device, together=gpu):
        values[chosen] = _blended(picture, first[chosen], second[chosen], weight[chosen])
    return values


def halved_pictures(
    patterns: Sequence[Pattern], level: Tensor, pool: Pool | None, device: torch.device, together: bool
) -> Iterator[tuple[slice | Tensor, Tensor]]:
    """Which patterns, and their pictures (b, 3, s, s) at their `level`: all of one level together or one by one."""
    pictures = [pool.pictures[p.picture] if pool is not None else torch.from_numpy(p.picture) for p in patterns]
    if not together:
        for i, picture in enumerate(pictures):
            yield slice(i, i + 1), halved(picture[None].to(device), int(level[i]))
        return
    for k in sorted(set(level.tolist())):
        chosen = (level == k).nonzero().flatten()
        yield chosen.to(device), halved(torch.stack([pictures[i] for i in chosen.tolist()]).to(device), k)


def _scale(pattern: Pattern, orbit: Orbit) -> float:
    """How many px of the picture one px of the pattern spans: as many as its domain leaves room for, or fewer."""
    widest: float = 0.48 * SIDE / orbit.radius
    return 1.0 if isinstance(pattern.picture, np.ndarray) else 0.7 * max(widest / 0.7, 1.0) ** pattern.reach


def _blended(picture: Tensor, first: Tensor, second: Tensor, weight: Tensor) -> Tensor:
    """Pictures read at the nearest representative, mixed with the second nearest along seams: (B, 3, P)."""
    values = read(picture, first)
    seam = (weight < 1).any(0).nonzero().flatten()
    if len(seam):
        w = weight[:, None, seam]
        values[..., seam] = w * values[..., seam] + (1 - w) * read(picture, second[:, seam])
    return values
