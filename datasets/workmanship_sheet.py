"""Where the cells and the copies of one image lie, and random fields that are alike in every cell or not.

A field is a function of points (P, 2), px from the middle of the image, y down, to values (P, C).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from .drawn import Pattern
from .fold import times
from .orbits import Orbit

Field = Callable[[Tensor], Tensor]
Array = NDArray[np.float64]
RASTER = 96  # of a cell along each axis, where it is looked up which copy a point belongs to
NUDGE = 1e-4  # of a cell
WAVES = 48  # of a cell along each axis, for smooth fields
REACH = 3  # harmonics of a smooth field along each axis


@dataclass(frozen=True)
class Sheet:
    """One image of `size` px: primitive cell `basis` (2, 2) px, columns, and `origin` (2,) px from the middle.

    `orbit` has the points to which the copies of the fundamental domain belong, in px from the origin after the
    matrix `unstretch` (2, 2), which undoes what rounding the cell to whole pixels did.
    """

    size: int
    basis: Array
    origin: Array
    orbit: Orbit | None = None
    unstretch: Array | None = None

    @classmethod
    def of(cls, pattern: Pattern, size: int) -> Sheet:
        """The sheet of a pattern."""
        stretch = np.eye(2) if pattern.tile is None else pattern.tile.stretch
        unstretch: Array = np.asarray(np.linalg.inv(stretch), dtype=np.float64)
        return cls(size, pattern.frame.basis, pattern.origin, pattern.orbit, unstretch)

    @property
    def side(self) -> float:
        """Edge of the primitive cell in px: the root of its area."""
        return float(np.sqrt(abs(np.linalg.det(self.basis))))

    @cached_property
    def ticks(self) -> Tensor:
        """Coordinates of the pixels along each axis: (size,) px."""
        return torch.arange(self.size, dtype=torch.float32) - (self.size - 1) / 2

    def pixels(self, device: torch.device) -> Tensor:
        """All pixels, row by row: (size ** 2, 2) px."""
        return grid(self.ticks, self.ticks).to(device)

    def picture(self, field: Field, device: torch.device) -> Tensor:
        """The values of `field` at all pixels: (C, size, size)."""
        return field(self.pixels(device)).T.reshape(-1, self.size, self.size)

    def fractional(self, points: Tensor) -> Tensor:
        """Points (P, 2) px in units of the cell, from the origin."""
        inverse: Array = np.asarray(np.linalg.inv(self.basis), dtype=np.float64)
        return _turned(inverse, points - torch.from_numpy(self.origin).to(points))

    @cached_property
    def _owners(self) -> tuple[Tensor, Tensor]:
        """The orbit point nearest to each place of the raster (RASTER ** 2,), and which copy each of them is (Q,)."""
        assert self.orbit is not None
        assert self.unstretch is not None
        ticks = (np.arange(RASTER) + 0.5) / RASTER - 0.5
        places = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), -1).reshape(-1, 2) @ self.orbit.basis.T
        nearest = torch.cdist(torch.from_numpy(places).float(), torch.from_numpy(self.orbit.points).float()).argmin(1)
        inside = np.linalg.inv(self.unstretch @ self.basis) @ self.orbit.points.T
        _, copy = np.unique(np.rint(inside.T * 1e4).astype(int) % 10_000, axis=0, return_inverse=True)
        return nearest, torch.from_numpy(copy.reshape(-1))

    @property
    def copy(self) -> Tensor:
        """Which copy of the cell each orbit point is in: (Q,)."""
        return self._owners[1]

    @property
    def copies(self) -> int:
        """How many copies of the fundamental domain a primitive cell has."""
        return int(self.copy.max()) + 1

    def owners(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The orbit point (P,) to which points belong, and where they lie (P,), (P,) px when moved to its cell."""
        assert self.orbit is not None
        assert self.unstretch is not None
        x, y = _turned(self.unstretch, points - torch.from_numpy(self.origin).to(points)).unbind(-1)
        (a, b), (c, d) = self.orbit.basis.tolist()
        area = a * d - b * c
        u, v = (d * x - b * y) / area, (a * y - c * x) / area
        # Pixels may lie on the raster's lines in every cell: the nudge puts them on one side, whatever the rounding.
        u, v = u - (u + (0.5 + NUDGE)).floor(), v - (v + (0.5 + NUDGE)).floor()
        i, j = ((t + (0.5 + NUDGE)).mul_(RASTER).long().clamp_(0, RASTER - 1) for t in (u, v))
        which = self._owners[0].to(points.device).take(i * RASTER + j)
        return which, a * u + b * v, c * u + d * v

    def by_copy(self, values: Tensor) -> Field:
        """The field that has `values` (copies, C) in the copies of the fundamental domain."""
        each = values.index_select(0, self.copy)

        def at(points: Tensor) -> Tensor:
            return _taken(each.to(points), self.owners(points)[0])

        return at

    def affine(self, matrices: Tensor, shifts: Tensor) -> Field:
        """In each copy ``matrices[copy] @ offset + shifts[copy]`` (copies, C, 2), (copies, C) of the offset px from
        its orbit point."""
        assert self.orbit is not None
        own, centre = matrices.index_select(0, self.copy), torch.from_numpy(self.orbit.points).to(matrices)
        rest = shifts.index_select(0, self.copy) - (own * centre[:, None]).sum(-1)

        def at(points: Tensor) -> Tensor:
            which, x, y = self.owners(points)
            across, down, add = (_taken(t.to(points), which) for t in (own[..., 0], own[..., 1], rest))
            return across * x[:, None] + down * y[:, None] + add

        return at


def _taken(values: Tensor, which: Tensor) -> Tensor:
    """Rows `which` (P,) of `values` (Q, C): (P, C); one column after the other, which is faster."""
    return torch.stack([column.contiguous().take(which) for column in values.unbind(-1)], -1)


def grid(xs: Tensor, ys: Tensor) -> Tensor:
    """Points of a grid, row by row: (len(ys) * len(xs), 2)."""
    y, x = torch.meshgrid(ys, xs, indexing="ij")
    return torch.stack([x, y], -1).reshape(-1, 2)


def waves(rng: np.random.Generator, channels: int, reach: tuple[int, int] = (REACH, REACH)) -> Tensor:
    """Random smooth functions of the cell, of mean 0 and deviation 1: (channels, WAVES, WAVES).

    All harmonics up to `reach` along each axis, weaker the finer they are.
    """
    h, k = np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij")
    drawn = rng.standard_normal((channels, *h.shape)) + 1j * rng.standard_normal((channels, *h.shape))
    spectrum = np.zeros((channels, WAVES, WAVES), complex)
    spectrum[:, h, k] = drawn / (1 + h**2 + k**2)
    spectrum[:, 0, 0] = 0
    table = np.fft.ifft2(spectrum).real
    return torch.from_numpy(table / table.std((1, 2), keepdims=True)).float()


def periodic(sheet: Sheet, table: Tensor, mode: str = "bilinear") -> Field:
    """The field that has the values of `table` (C, n, m), along the cell's two axes, in every cell."""
    padded = F.pad(table[None], (1, 3, 1, 3), mode="circular")

    def at(points: Tensor) -> Tensor:
        u = sheet.fractional(points)
        return _read(padded, (u - u.floor()) * u.new_tensor(table.shape[-2:]) + 1, mode)

    return at


def by_cell(sheet: Sheet, rng: np.random.Generator, channels: int) -> Field:
    """Random values of deviation 1 that differ from cell to cell, or from row of cells to row, within soft borders."""
    half = sheet.size / 2 * 1.2
    corners = sheet.fractional(torch.tensor([[x, y] for x in (-half, half) for y in (-half, half)]))
    low = corners.amin(0).floor() - 1
    shape = (corners.amax(0).ceil() + 2 - low).int().tolist()
    table = rng.standard_normal((1, channels, *shape))
    strands = rng.random()
    if strands < 0.15:
        table[:] = table[:, :, :1]
    elif strands < 0.3:
        table[:] = table[:, :, :, :1]
    steep, values = rng.uniform(1.5, 8), torch.from_numpy(table).float()

    def at(points: Tensor) -> Tensor:
        u = sheet.fractional(points) - low.to(points)
        whole = u.floor()
        return _read(values, whole + ((u - whole - 0.5) * steep + 0.5).clamp(0, 1))

    return at


def aperiodic(sheet: Sheet, rng: np.random.Generator, channels: int, length: float) -> Field:
    """Random smooth fields of deviation about 1 and a correlation length of `length` px."""
    half = sheet.size / 2 * 1.2
    n = int(2 * half / length) + 4
    values = torch.from_numpy(rng.standard_normal((1, channels, n, n))).float()

    def at(points: Tensor) -> Tensor:
        return 1.3 * _read(values, (points + half) / length + 1, "bicubic")

    return at


def _read(table: Tensor, at: Tensor, mode: str = "bilinear") -> Tensor:
    """A table (1, C, n, m) at positions (P, 2) in steps along its two axes: (P, C)."""
    ends = at.new_tensor([table.shape[2] - 1, table.shape[3] - 1])
    where = (2 * at / ends - 1).flip(-1)[None, None]
    return F.grid_sample(table.to(at), where, mode=mode, padding_mode="border", align_corners=True)[0, :, 0].T


def _turned(matrix: Array, points: Tensor) -> Tensor:
    return times(torch.from_numpy(matrix).to(points)[None], points[None])[0]
