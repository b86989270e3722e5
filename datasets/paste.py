"""Patterns by pasting: whole-pixel cells, nearest pixels, tiled. Most published data was made this way.

The fundamental region is read on the pixel grid, its rotated and mirrored copies take the nearest pixel, and a
rectangular (or, without axes, oblique) cell of whole pixels is tiled. Square and rectangular groups stay exact;
hexagonal ones are rounded twice, in the copies and in the height of the cell, as in Guo, Qin and Agar's generator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .fold import times

STEP = 4  # px: sides are multiples of it, so that centres and axes fall on pixels or half-way between


@dataclass(frozen=True)
class Tile:
    """The cell that is tiled: columns of `vectors` (2, 2) in whole px, and where the pixel grid lies.

    `exact` (2, 2) px is the cell before rounding. Pixels sit at whole px plus `half` (0 or 0.5) from the
    pattern's origin.
    """

    vectors: NDArray[np.float64]
    exact: NDArray[np.float64]
    half: float

    @property
    def stretch(self) -> NDArray[np.float64]:
        """What rounding did to the lattice: (2, 2), turns exact lattice vectors into those that are tiled."""
        stretched: NDArray[np.float64] = self.vectors @ np.linalg.inv(self.exact)
        return stretched


def snap(rng: np.random.Generator, basis: NDArray[np.float64], hexagonal: bool) -> tuple[NDArray[np.float64], Tile]:
    """The aligned conventional `basis` (2, 2) px with whole-pixel sides, and its tile.

    A hexagonal basis keeps its exact angle; only its rectangular tile is rounded.
    """
    a = max(STEP, STEP * round(float(np.linalg.norm(basis[:, 0])) / STEP))
    half = 0.5 * int(rng.integers(2))
    if hexagonal:
        exact = a / np.linalg.norm(basis[:, 0]) * basis
        height = 2 * round(a * 3**0.5 / 2)
        return exact, Tile(np.diag([float(a), float(height)]), np.diag([a, a * 3**0.5]), half)
    x, y = basis[:, 1]
    across = 0 if abs(x) < 1e-9 else 2 * round(x / 2)
    height = max(STEP, STEP * round(abs(y) / STEP))
    if abs(np.linalg.norm(basis[:, 0]) - np.linalg.norm(basis[:, 1])) < 1e-6 and across == 0:
        height = a
    snapped = np.array([[a, across], [0.0, -height]], dtype=np.float64)
    return snapped, Tile(snapped, snapped, half)


def into_tiles(points: Tensor, tiles: Sequence[Tile]) -> Tensor:
    """Points (B, P, 2) px relative to the origins, moved by whole tiles into those about the origins."""
    whole = np.stack([tile.vectors for tile in tiles])
    inverse, vectors = (torch.from_numpy(m).to(points.device, points.dtype) for m in (np.linalg.inv(whole), whole))
    # The nudge puts a row of pixels on the tile's border to one side of it, whatever the rounding of `u`.
    steps = torch.floor(times(inverse, points) + (0.5 + 1e-5))
    return points - times(vectors, steps)


def into_tile(points: Tensor, tile: Tile) -> Tensor:
    """`into_tiles` of points (P, 2) px and one tile."""
    return into_tiles(points[None], [tile])[0]


def pixels_of(points: Tensor, tile: Tile) -> tuple[Tensor, Tensor]:
    """The tile's pixels, as positions (U, 2) px, and which of them each of the pixels `points` (P, 2) repeats: (P,).

    There is a position for every pixel of the smallest upright rectangle about the tile.
    """
    at = (into_tile(points, tile) - tile.half).round()
    low = at.amin(0)
    at = (at - low).long()
    width, height = (int(v) + 1 for v in at.amax(0))
    x, y = (torch.arange(n, device=points.device) for n in (width, height))
    positions = torch.cartesian_prod(x, y) + low + tile.half
    return positions.to(points), at[:, 0] * height + at[:, 1]


def tile_read(tile: Tile, read: Callable[[Tensor], Tensor], device: torch.device) -> Callable[[Tensor], Tensor]:
    """A function of points (P, 2) px that has the values (C, P) of `read` at their pixels, which is asked once only."""
    reach = np.ceil(0.5 * np.abs(tile.vectors).sum(1)).astype(int) + 1
    x, y = (torch.arange(-int(r), int(r) + 1) for r in reach)
    values = read((torch.cartesian_prod(x, y) + tile.half).float().to(device))
    low, ends = -torch.from_numpy(reach).to(device), torch.from_numpy(2 * reach).to(device)

    def at(points: Tensor) -> Tensor:
        i, j = ((into_tile(points, tile) - tile.half).round().long() - low).clamp(low.new_zeros(2), ends).unbind(-1)
        return values.index_select(1, i * len(y) + j)

    return at


def to_pixels(points: Tensor, half: Tensor) -> Tensor:
    """Points (..., 2) px relative to the origin, moved to the nearest pixel; `half` as a tile has it."""
    return (points - half + 1e-4).round() + half


def tiled(
    at: NDArray[np.float64], site: NDArray[np.int64], tile: Tile, lower: NDArray[np.float64], upper: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Spots `at` (J, 2) of the tile about the origin, each on its nearest pixel, repeated over ``lower..upper`` px.

    A spot half-way between two pixels stays there: it sits on an axis that runs between them.
    """
    u = at @ np.linalg.inv(tile.exact).T
    inverse = np.linalg.inv(tile.vectors)
    inside = ((u >= -0.5 - 1e-9) & (u < 0.5 - 1e-9)).all(-1)
    offset, site = at[inside] - tile.half, site[inside]
    between = np.abs(offset - np.floor(offset) - 0.5) < 1e-6
    at = np.where(between, offset, np.rint(offset)) + tile.half
    corners = np.array([(x, y) for x in (lower[0], upper[0]) for y in (lower[1], upper[1])]) @ inverse.T
    low, high = np.floor(corners.min(0)).astype(int) - 1, np.ceil(corners.max(0)).astype(int) + 2
    i, j = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]), indexing="ij")
    shifts = np.stack([i, j], -1).reshape(-1, 2) @ tile.vectors.T
    places = (at[:, None] + shifts[None]).reshape(-1, 2)
    seen = ((places >= lower) & (places <= upper)).all(-1)
    return places[seen], np.repeat(site, len(shifts))[seen]
