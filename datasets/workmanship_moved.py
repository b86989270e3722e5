"""Workmanship that moves things: content displaced, copies turned on pixels, atoms off their sites.

What is roughened is a `Picture`, read at displaced points, or a `Crystal`, whose atoms are moved themselves, so that
nothing is resampled and a deviation is exactly alike in every cell where it is meant to be. Each construction takes
a sheet, a material, the generator and the change to reach, 1 minus the correlation with the material as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .atoms import Atoms
from .spots import Spots, render
from .workmanship_scale import change, strength
from .workmanship_sheet import Field, Sheet, aperiodic, by_cell, grid, periodic, waves

PROBES = 48  # pixels along each axis where changes are measured
FINE = 1.2  # points a px of a grid over the cell from which changes are measured
STEP = 0.02  # of the cell's edge: a displacement at the first try


@dataclass(frozen=True)
class Picture:
    """An image as a function of points (P, 2) px from its middle to colours (3, P), and displacements of it.

    `guess` is a quicker reading, good enough to measure changes with.
    """

    read: Callable[[Tensor], Tensor]
    guess: Callable[[Tensor], Tensor]
    device: torch.device
    moves: tuple[tuple[float, Field], ...] = ()

    @classmethod
    def of_cells(cls, sheet: Sheet, read: Callable[[Tensor], Tensor], device: torch.device) -> Picture:
        """A pattern, whose `guess` is read between the points of a grid over one cell."""

        @cache
        def cell() -> Field:
            n, m = (round(float(np.clip(FINE * np.linalg.norm(a), 16, 160))) for a in sheet.basis.T)
            u = torch.cartesian_prod(torch.arange(n) / n, torch.arange(m) / m)
            points = u @ torch.from_numpy(sheet.basis.T).float() + torch.from_numpy(sheet.origin).float()
            return periodic(sheet, read(points.to(device)).reshape(-1, n, m), "bicubic")

        return cls(read, lambda points: cell()(points).T, device)

    def look(self, xs: Tensor, ys: Tensor, quick: bool = False) -> Tensor:
        """The image at the pixels ``(xs[i], ys[j])``: (3, len(ys), len(xs))."""
        points = grid(xs, ys).to(self.device)
        shifted = points + sum(s * field(points) for s, field in self.moves)
        return (self.guess if quick else self.read)(shifted).reshape(3, len(ys), len(xs))

    def moved(self, field: Field, by: float) -> Picture:
        """The picture with content displaced by ``by * field`` px."""
        return replace(self, moves=(*self.moves, (by, field)))


@dataclass(frozen=True)
class Crystal:
    """Atoms and where they are, px from the middle of the image; `device` is where they are drawn."""

    atoms: Atoms
    spots: Spots
    device: torch.device

    def look(self, xs: Tensor, ys: Tensor, quick: bool = False) -> Tensor:
        """The image at the pixels ``(xs[i], ys[j])``: (3, len(ys), len(xs)), not clipped."""
        x, y = xs.to(self.device), ys.to(self.device)
        return render([self.atoms], [self.spots], x[None], y[None])[0]

    def moved(self, field: Field, by: float) -> Crystal:
        """Each atom displaced by ``by * field`` px."""
        at, site = self.spots
        return replace(self, spots=(at + by * field(torch.from_numpy(at).float()).double().numpy(), site))


Material = Picture | Crystal
Moved = tuple[Material, float]


def scaled(
    sheet: Sheet,
    material: Material,
    rng: np.random.Generator,
    target: float,
    made: Callable[[float], Material],
    start: float = 1.0,
) -> Moved:
    """``made(s)`` at the strength that changes `material` by `target`, and by how much it does.

    Changes are measured at random columns and rows, which are in step with no lattice.
    """
    n = min(PROBES, sheet.size)
    xs, ys = (sheet.ticks[torch.from_numpy(np.sort(rng.choice(sheet.size, n, replace=False)))] for _ in range(2))
    before = material.look(xs, ys, quick=True)
    s, reached = strength(lambda s: change(before, made(s).look(xs, ys, quick=True)), target, start)
    return made(s), reached


def flow(sheet: Sheet, material: Material, rng: np.random.Generator, target: float) -> Moved:
    """Content displaced along a smooth random field, alike in every cell."""
    field = periodic(sheet, STEP * sheet.side * waves(rng, 2))
    return scaled(sheet, material, rng, target, lambda s: material.moved(field, s))


def bent_lines(sheet: Sheet, material: Material, rng: np.random.Generator, target: float) -> Moved:
    """Rows of cells bent alike: a displacement along the other axis, or along x, that depends on one coordinate."""
    along = int(rng.integers(2))
    bow = waves(rng, 1, (5, 0) if along else (0, 5))[0]
    axis = sheet.basis[:, along] / np.linalg.norm(sheet.basis[:, along])
    if rng.random() < 0.5:
        axis = np.array([1.0, 0.0])
    field = periodic(sheet, STEP * sheet.side * torch.from_numpy(axis).float()[:, None, None] * bow)
    return scaled(sheet, material, rng, target, lambda s: material.moved(field, s))


def shaky_hand(sheet: Sheet, material: Material, rng: np.random.Generator, target: float) -> Moved:
    """Content displaced along a smooth field that differs from cell to cell: correlated over a third to one cell."""
    field = aperiodic(sheet, rng, 2, rng.uniform(1 / 3, 1) * sheet.side)
    by = STEP * sheet.side
    return scaled(sheet, material, rng, target, lambda s: material.moved(field, by * s))


def cells_moved(sheet: Sheet, material: Material, rng: np.random.Generator, target: float) -> Moved:
    """Each cell, or each row of cells, displaced and stretched by its own amount."""
    drawn = by_cell(sheet, rng, 6)
    stretched = STEP * sheet.side * float(rng.random() < 0.6)
    basis = torch.from_numpy(sheet.basis).float()

    def field(points: Tensor) -> Tensor:
        values, u = drawn(points), sheet.fractional(points)
        off = (u - u.floor() - 0.5) @ basis.T.to(u) / sheet.side
        matrices = values[:, 2:].reshape(-1, 2, 2)
        return STEP * sheet.side * values[:, :2] + stretched * (matrices * off[:, None]).sum(-1)

    return scaled(sheet, material, rng, target, lambda s: material.moved(field, s))


def copies_moved(sheet: Sheet, material: Material, rng: np.random.Generator, target: float) -> Moved:
    """Each copy of the fundamental domain displaced, turned and stretched by its own amounts, alike in every cell."""
    shift = rng.standard_normal((sheet.copies, 2)) * rng.uniform(0.3, 1)
    turned = rng.standard_normal((sheet.copies, 1, 1)) * np.array([[0.0, -1.0], [1.0, 0.0]])
    stretched = rng.standard_normal((sheet.copies, 2, 2)) * float(rng.random() < 0.6)
    shifts = torch.from_numpy(STEP * sheet.side * (shift - shift.mean(0))).float()
    field = sheet.affine(torch.from_numpy(3 * STEP * (turned + 0.7 * stretched)).float(), shifts)
    return scaled(sheet, material, rng, target, lambda s: material.moved(field, s))


def turned_on_pixels(sheet: Sheet, material: Material, rng: np.random.Generator, target: float) -> Moved:
    """The fundamental domain on a coarse raster, each copy of it turned by taking the nearest pixel, with seams.

    A copy has pixels of its own, upright in the image and in a phase of its own; each shows the nearest pixel of the
    domain's raster.
    """
    assert sheet.orbit is not None
    (hx, hy), centres = rng.random(2), torch.from_numpy(sheet.orbit.points).float()
    phases = torch.from_numpy(rng.random((sheet.copies, 2))).float().index_select(0, sheet.copy)
    back = torch.from_numpy(sheet.orbit.matrices).float().flatten(1)
    table = torch.cat([back, centres, phases], 1).T.contiguous()

    def made(step: float) -> Material:
        def field(points: Tensor) -> Tensor:
            which, x, y = sheet.owners(points)
            a, b, c, d, qx, qy, px, py = (row.take(which) for row in table.to(points))
            x, y = x - qx, y - qy
            u, v = (x / step - px).round() + px, (y / step - py).round() + py
            u, v = (a * u + b * v - hx).round() + hx, (c * u + d * v - hy).round() + hy
            # the matrices are orthogonal, so that the transposed one leads back
            return torch.stack([step * (a * u + c * v) - x, step * (b * u + d * v) - y], -1)

        return material.moved(field, 1.0)

    return scaled(sheet, material, rng, target, made, max(1.0, STEP * sheet.side))


def _apart(sheet: Sheet, crystal: Crystal) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which atom of the primitive cell each spot is (J,), and the site of each such atom (n,)."""
    at, site = crystal.spots
    u = sheet.fractional(torch.from_numpy(at).float()).numpy()
    sites: list[int] = []
    atom = np.full(len(at), -1)
    while (atom < 0).any():
        first = int(np.argmax(atom < 0))
        off = u - u[first]
        near = np.abs((off - np.rint(off)) @ sheet.basis.T).max(1) < min(1.5, 0.03 * sheet.side)
        atom[near & (site == site[first]) & (atom < 0)] = len(sites)
        sites.append(site[first])
    return atom, np.array(sites)


def atoms_apart(sheet: Sheet, crystal: Crystal, rng: np.random.Generator, target: float) -> Moved:
    """Each atom of the cell off its site, wider or brighter by its own amounts, alike in every cell."""
    atom, sites = _apart(sheet, crystal)
    n, a = len(sites), crystal.atoms
    which = rng.random(3) < (0.8, 0.5, 0.5)
    if not which.any():
        which[0] = True
    shift = rng.standard_normal((n, 2)) * float(which[0])
    wider, brighter = rng.standard_normal((2, n)) * which[1:, None]

    def made(s: float) -> Material:
        widths = a.widths[sites] * np.exp(0.1 * s * wider).clip(0.5, 2)
        colours = a.colours[sites] * np.clip(1 + 0.1 * s * brighter, 0.2, 2)[:, None]
        at = crystal.spots[0] + s * STEP * sheet.side * (shift - shift.mean(0))[atom]
        return replace(crystal, atoms=Atoms(a.sites[sites], widths, colours, a.background), spots=(at, atom))

    return scaled(sheet, crystal, rng, target, made)


def atoms_rounded(sheet: Sheet, crystal: Crystal, rng: np.random.Generator, target: float) -> Moved:
    """Atoms on the pixels of a coarse raster one by one: each of the image, or those of one cell, which is repeated."""
    at, site = crystal.spots
    phase, alike = rng.random(2), rng.random() < 0.5
    u = sheet.fractional(torch.from_numpy(at).float()).double().numpy()
    home = (u - np.floor(u + 1e-4)) @ sheet.basis.T if alike else at

    def made(step: float) -> Material:
        rounded = step * (np.rint(home / step - phase) + phase)
        return replace(crystal, spots=(at + rounded - home, site))

    return scaled(sheet, crystal, rng, target, made, 2.0)
