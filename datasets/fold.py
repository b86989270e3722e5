"""Patterns by folding: every point is moved to the one member of its orbit nearest to a generic point.

For a generic point p the points nearer to p than to any of its images form the Dirichlet cell, which is a
fundamental domain of the group (Coxeter and Moser, Generators and Relations for Discrete Groups, ch. 4).
Reading a source at the folded point gives an image with exactly the group's symmetry, whatever the source.

Points are many: everything here is done for all of them at once, with no step that depends on how many patterns
there are, and with operations that are fast on a CPU too, where choosing by masks is not.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .orbits import SEAM, Orbits

TILES = 48, 16  # of the cell along each axis, each with its own short list of orbit points, for many and few points
FEW = 10_000
SLACK = 0.01  # px^2: more than rounding of squared distances


class Folded(NamedTuple):
    """Points (B, P, 2) as offsets px from the generic point, and how they are blended along seams.

    `seam` (S,) are the places, in the flattened (B * P,) points, of those within half a seam of a border. There the
    `runner` (S, 2) is the offset to the second nearest representative, and `weight` (S,) in [0.5, 1) that of the
    nearest: a rule that every operation of the group leaves unchanged.
    """

    nearest: Tensor
    seam: Tensor
    runner: Tensor
    weight: Tensor


def fold(orbits: Orbits, points: Tensor, turns: NDArray[np.float64] | None = None) -> Folded:
    """Fold `points` (B, P, 2) px, relative to each pattern's origin, into the domain of its generic point.

    `turns` (B, 2, 2) are applied to the offsets.
    """
    device, dtype = points.device, points.dtype
    q, basis = (torch.from_numpy(t).to(device, dtype) for t in (orbits.points, orbits.basis))
    inverse = torch.from_numpy(np.linalg.inv(orbits.basis)).to(device, dtype)
    x, y = points.unbind(-1)
    u, v = _turned(inverse, x, y)
    u, v = u.sub_(u.round()), v.sub_(v.round())
    x, y = (t.flatten() for t in _turned(basis, u, v))
    tiles = TILES[points.shape[1] <= FEW]
    only, listed = _claims(q, basis, tiles)
    u, v = (t.mul_(tiles).add_(tiles / 2).int().clamp_(max=tiles - 1) for t in (u, v))
    u.mul_(tiles).add_(v).add_(tiles**2 * torch.arange(len(orbits), device=device, dtype=torch.int32)[:, None])
    first = only.index_select(0, u.flatten())

    # from here on only points that more than one orbit point may claim
    border = below_zero(first)
    qx, qy = (torch.cat([t.flatten(), t.new_full((1,), 2e6)]) for t in q.unbind(-1))
    bx, by, which = x.index_select(0, border), y.index_select(0, border), -1 - first.index_select(0, border)
    one, two, one_at, two_at = _two_nearest(bx, by, qx, qy, listed, which)
    first.index_copy_(0, border, one_at)
    dx, dy = (t.index_select(0, one_at) - t.index_select(0, two_at) for t in (qx, qy))
    weight = (two.sub_(one) / dx.square_().addcmul_(dy, dy).sqrt_()).div_(2 * SEAM).add_(0.5)
    seam = below_zero(weight - 1)

    a, b, c, d, e, f = _back(orbits, turns, q)

    def offsets(x: Tensor, y: Tensor, at: Tensor) -> Tensor:
        # matrix (x - q), with the second product known beforehand
        found = x.new_empty(len(x), 2)
        found[:, 0] = a.index_select(0, at).mul_(x).addcmul_(b.index_select(0, at), y).sub_(e.index_select(0, at))
        found[:, 1] = c.index_select(0, at).mul_(x).addcmul_(d.index_select(0, at), y).sub_(f.index_select(0, at))
        return found

    nearest = offsets(x, y, first).reshape(points.shape)
    runner = offsets(bx.index_select(0, seam), by.index_select(0, seam), two_at.index_select(0, seam))
    return Folded(nearest, border.index_select(0, seam), runner, weight.index_select(0, seam).clamp_min(0.5))


def at_once(device: torch.device) -> bool:
    """Whether all images of a batch are made together: anywhere but on a CPU, whose cache holds one."""
    return device.type != "cpu"


def below_zero(values: Tensor) -> Tensor:
    """Where the flattened `values` are negative, in order; on a CPU numpy finds them in a sixth of torch's time."""
    if not at_once(values.device):
        return torch.from_numpy(np.flatnonzero(values.numpy() < 0))
    return (values < 0).flatten().nonzero().flatten()


def times(matrices: Tensor, vectors: Tensor) -> Tensor:
    """Matrices (B, 2, 2) times vectors (B, P, 2); several times faster than a product of such thin matrices."""
    x, y = vectors.unbind(-1)
    first, second = _turned(matrices, x, y)
    found = first.new_empty(*first.shape, 2)
    found[..., 0], found[..., 1] = first, second
    return found


def _turned(matrices: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Matrices (B, 2, 2) times vectors given as coordinates (B, P)."""
    m = matrices[..., None]
    return (m[:, 0, 0] * x).addcmul_(m[:, 0, 1], y), (m[:, 1, 0] * x).addcmul_(m[:, 1, 1], y)


def _back(orbits: Orbits, turns: NDArray[np.float64] | None, like: Tensor) -> tuple[Tensor, ...]:
    """What leads from orbit points to the generic point: rows of the matrix and what is taken away, (B * Q,) each."""
    back = orbits.matrices if turns is None else turns[:, None] @ orbits.matrices
    away = np.where(orbits.points < 1e5, orbits.points, 0.0)
    rows = np.concatenate([back.reshape(-1, 4), (back @ away[..., None]).reshape(-1, 2)], 1).T
    return torch.from_numpy(rows).to(like.device, like.dtype).unbind()


def _two_nearest(
    x: Tensor, y: Tensor, qx: Tensor, qy: Tensor, listed: Tensor, which: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Squared distances to the nearest two of the orbit points in each point's list, and which these are."""

    def squared(x: Tensor, y: Tensor, at: Tensor) -> Tensor:
        dx, dy = (t - s.index_select(0, at.flatten()).reshape(at.shape) for t, s in ((x, qx), (y, qy)))
        return dx.square_().addcmul_(dy, dy)

    one_at, two_at, third = (listed[:, k].contiguous().index_select(0, which) for k in range(3))
    one, two = squared(x, y, one_at), squared(x, y, two_at)
    change = (two < one).int().mul_(two_at - one_at)
    one, two, one_at, two_at = torch.minimum(one, two), torch.maximum(one, two), one_at + change, two_at - change
    # few lists are longer
    longer = below_zero(third - (len(qx) - 1))
    lists = listed.index_select(0, which.index_select(0, longer))
    each = squared(x.index_select(0, longer)[:, None], y.index_select(0, longer)[:, None], lists)
    for distance, at in ((one, one_at), (two, two_at)):
        least, place = each.min(1)
        distance.index_copy_(0, longer, least)
        at.index_copy_(0, longer, lists.gather(1, place[:, None])[:, 0])
        each.scatter_(1, place[:, None], torch.inf)
    return one, two, one_at, two_at


def _claims(q: Tensor, basis: Tensor, tiles: int) -> tuple[Tensor, Tensor]:
    """Which orbit points can be nearest, or second nearest within a seam, anywhere in each tile of the reduced cell.

    Orbit points (B, Q, 2) px to `only` (B * tiles**2,), the one index into the flattened (B * Q,) points, or, where
    there are several, -1 minus the row of `listed` (R, longest list) that has them. Lists are filled up with B * Q.
    """
    B, Q, _ = q.shape
    device, dtype = q.device, q.dtype
    ticks = (torch.arange(tiles, device=device, dtype=dtype) + 0.5) / tiles - 0.5
    mx, my = _turned(basis, ticks.repeat_interleave(tiles), ticks.repeat(tiles))
    qx, qy = q.unbind(-1)
    distance = (mx[:, None] - qx[..., None]).square_()
    dy = my[:, None] - qy[..., None]
    distance = distance.addcmul_(dy, dy)
    least = distance.amin(1)
    # First by the triangle inequality, without asking which point is nearest to the tile's middle.
    (ax, bx), (ay, by) = ((t / tiles).unbind(-1) for t in basis.unbind(1))
    diameter = torch.maximum((ax + bx).hypot(ay + by), (ax - bx).hypot(ay - by))
    limit = (least.sqrt() + (diameter + SEAM + 1e-3)[:, None]).square_()
    pair = below_zero((distance - limit[:, None]).transpose(1, 2))
    tile = torch.div(pair, Q, rounding_mode="floor")
    pattern = torch.div(tile, tiles**2, rounding_mode="floor")
    which = pair - tile * Q + pattern * Q
    # the same place in (B, Q, tiles**2)
    place = (which * tiles**2).add_(tile).sub_(pattern * tiles**2)
    behind = distance.flatten().index_select(0, place) - least.flatten().index_select(0, tile)
    nearest = below_zero(behind - 1e-30)
    only = torch.zeros(B * tiles**2, dtype=torch.int32, device=device)
    only.index_copy_(0, tile.index_select(0, nearest), which.index_select(0, nearest).int())
    # Then by their borders with that point, `middle`: squared distances differ by a linear function, and in the tile by
    # at most `spread` more or less than in its middle. The point that is nearest elsewhere in the tile is at most
    # `other` from `middle`, and two that share a seam there are at most `wide` apart.
    middle = only.index_select(0, tile)
    dx, dy = (t.flatten().index_select(0, which) - t.flatten().index_select(0, middle) for t in (qx, qy))
    ax, ay, bx, by = (t.index_select(0, pattern) for t in (ax, ay, bx, by))
    spread = (ax * dx).addcmul_(ay, dy).abs_() + (bx * dx).addcmul_(by, dy).abs_() + SLACK
    apart = dx.square().addcmul_(dy, dy).sqrt_()

    def largest(of: Tensor, where: Tensor) -> Tensor:
        """The largest value in each pair's tile, of those pairs where `where` is negative."""
        chosen = below_zero(where)
        each = of.new_zeros(B * tiles**2)
        each.scatter_reduce_(0, tile.index_select(0, chosen), of.index_select(0, chosen), "amax")
        return each.index_select(0, tile)

    other = largest(apart, behind - spread)
    wide = largest(apart + other, behind - spread - SEAM * (apart + other))
    # The second nearest counts, even one that has no seam itself.
    kept = below_zero(behind - spread - SEAM * wide)
    tile, which = tile.index_select(0, kept), which.index_select(0, kept)
    length = torch.zeros_like(only).index_add_(0, tile, torch.ones_like(tile, dtype=torch.int32))
    border = below_zero(1 - length)
    row = torch.arange(len(border), device=device, dtype=torch.int32)
    only.index_copy_(0, border, -1 - row)
    rank = torch.arange(len(tile), device=device) - (length.cumsum(0) - length).index_select(0, tile)
    own = only.index_select(0, tile)
    several = below_zero(own)
    listed = torch.full((len(border), max(3, int(length.max()))), B * Q, dtype=torch.int32, device=device)
    at = (-1 - own.index_select(0, several)).long().mul_(listed.shape[1]).add_(rank.index_select(0, several))
    listed.flatten().index_copy_(0, at, which.index_select(0, several).int())
    return only, listed
