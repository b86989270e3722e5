"""Patterns of atoms: Gaussian spots on the orbits of a few sites, summed over all cells in view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..hierarchy import Operation
from ..hierarchy.operations import IDENTITY
from .lattices import reduce_basis

REACH = 4.5  # standard deviations after which a spot is left out
USUAL = 4  # atoms in a primitive cell that have the widths drawn; more are narrower, fewer wider
WIDEST = 0.2  # of the primitive cell's edge


@dataclass(frozen=True)
class Atoms:
    """Sites (n, 2) in fractional coordinates, widths (n,) px, colours (n, 3), and the background (3,)."""

    sites: NDArray[np.float64]
    widths: NDArray[np.float64]
    colours: NDArray[np.float64]
    background: NDArray[np.float64]


def draw_atoms(rng: np.random.Generator, operations: Sequence[Operation], cell_area: float) -> Atoms:
    """One to three species, up to four sites of the asymmetric unit, in colour or grey.

    `cell_area` is the primitive cell's, in px^2: widths are drawn relative to it, for all groups alike, and scaled
    so that the share of the cell that atoms cover does not grow with their number. Otherwise brightness and
    contrast would give the group away: a general site is one atom in p1 and twelve in p6m.
    With probability 0.4 a site is moved onto the centre or the mirror of a random operation of the cell; the
    identity and glides leave it where it is.
    """
    species = int(rng.integers(1, 4))
    count = int(rng.integers(1, 5))
    kind = rng.integers(0, species, count)
    relative = np.exp(rng.uniform(np.log(0.04), np.log(0.13), species))
    widths = np.sqrt(cell_area) * relative
    grey = rng.random() < 0.5
    colours = rng.uniform(0.3, 1.0, (species, 1)).repeat(3, 1) if grey else rng.uniform(0, 1, (species, 3))
    background = np.repeat(rng.uniform(0.0, 0.3), 3)
    if rng.random() < 0.15:
        background, colours = background + 0.6, -0.6 * colours
    sites = rng.random((count, 2))
    for i in range(count):
        if rng.random() < 0.4:
            sites[i] = _special(operations[int(rng.integers(len(operations)))], sites[i])
    translations = sum(op.W == IDENTITY for op in operations)
    atoms = sum(multiplicity(operations, site) for site in sites) / translations
    widths = np.clip(widths * np.sqrt(USUAL / atoms), 0.9, max(WIDEST * np.sqrt(cell_area), 0.9))
    return Atoms(sites, widths[kind], colours[kind], background)


def multiplicity(operations: Sequence[Operation], site: NDArray[np.float64]) -> int:
    """How many atoms a site is in the cell of `operations`: fewer of them on a special position."""
    W = np.array([op.W for op in operations], dtype=np.float64)
    w = np.array([[float(t) for t in op.w] for op in operations])
    return int((~_repeated((W @ site + w) % 1)).sum())


def _repeated(q: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of the positions (J, 2), modulo 1, repeat an earlier one."""
    apart = q[:, None] - q[None]
    apart -= np.rint(apart)
    return np.asarray(np.triu((np.abs(apart) < 1e-6).all(-1), 1).any(0))


def _special(operation: Operation, site: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of the images of `site` under the powers of `operation`: fixed by it, unless it is a glide."""
    W, w = np.array(operation.W, dtype=float), np.array([float(t) for t in operation.w])
    orbit, at = [site], W @ site + w
    for _ in range(6):
        if np.allclose(at, site):
            middle: NDArray[np.float64] = np.stack(orbit).mean(axis=0)
            return middle
        orbit.append(at)
        at = W @ at + w
    return site


def spots(
    atoms: Atoms,
    operations: Sequence[Operation],
    basis: NDArray[np.float64],
    lower: NDArray[np.float64],
    upper: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Positions (J, 2) px of every spot that reaches into the box `lower`..`upper` px, and their site (J,).

    A site on a special position meets itself; it is counted once, as one atom.
    """
    W = np.array([op.W for op in operations], dtype=np.float64)
    w = np.array([[float(t) for t in op.w] for op in operations])
    reduced = reduce_basis(basis)
    inverse = np.linalg.inv(reduced)
    corners = np.array([(x, y) for x in (lower[0], upper[0]) for y in (lower[1], upper[1])])
    places, sites = [], []
    for s, site in enumerate(atoms.sites):
        q = ((W @ site + w) @ basis.T) @ inverse.T
        q = q - np.floor(q)
        q = q[~_repeated(q)]
        margin = REACH * atoms.widths[s]
        reach = corners + np.sign(corners - corners.mean(0)) * margin
        u = reach @ inverse.T
        low, high = np.floor(u.min(0)).astype(int) - 1, np.ceil(u.max(0)).astype(int) + 1
        ticks = (np.arange(a, b) for a, b in zip(low, high, strict=True))
        cells = np.stack(np.meshgrid(*ticks, indexing="ij"), -1)
        at = ((q[:, None] + cells.reshape(-1, 2)[None]) @ reduced.T).reshape(-1, 2)
        at = at[((at >= lower - margin) & (at <= upper + margin)).all(-1)]
        places.append(at)
        sites.append(np.full(len(at), s))
    return np.concatenate(places), np.concatenate(sites)


def render(
    atoms: Sequence[Atoms],
    placed: Sequence[tuple[NDArray[np.float64], NDArray[np.int64]]],
    xs: Tensor,
    ys: Tensor,
) -> Tensor:
    """Sum of Gaussian spots at the pixels ``(xs[b, i], ys[b, j])``: (B, 3, H, W), not clipped.

    An isotropic Gaussian is a product over x and y, so the sum over spots is one matrix product. Its shape
    decides in which order terms are added: each image has its own, to be the same to the bit in any batch.
    """
    images = []
    for a, (p, s), x, y in zip(atoms, placed, xs, ys, strict=True):
        count = len(p) + -len(p) % 64  # few distinct shapes
        at = torch.full((count, 2), 1e6)
        width, colour = torch.ones(count, 1), torch.zeros(count, 3)
        at[: len(p)] = torch.from_numpy(p)
        width[: len(p), 0] = torch.from_numpy(a.widths[s])
        colour[: len(p)] = torch.from_numpy(a.colours[s])
        at, width, colour = (t.to(xs.device) for t in (at, width, colour))
        gx = torch.exp(-0.5 * ((x - at[:, :1]) / width) ** 2)
        gy = torch.exp(-0.5 * ((y - at[:, 1:]) / width) ** 2)
        images.append(gy.T @ (gx * colour.T[..., None]))
    background = torch.from_numpy(np.stack([a.background for a in atoms])).float().to(xs.device)
    return background[:, :, None, None] + torch.stack(images)
