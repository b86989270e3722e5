"""Atoms as Gaussian spots: where those of many patterns lie, and the images that they add up to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..hierarchy import Operation
from .atoms import Atoms, repeated
from .fold import at_once
from .lattices import reduce_bases
from .orbits import moved, padded

Array = NDArray[np.float64]
Spots = tuple[Array, NDArray[np.int64]]
REACH = 4.5  # standard deviations after which a spot is left out
FAINT = 5.5  # standard deviations after which it adds nothing to a pixel
BAND = 32  # rows of pixels that are made together on a CPU, of the spots near them
FAR = 1e6  # px: where the spots are that fill up shorter lists


def spots(
    atoms: Sequence[Atoms],
    operations: Sequence[tuple[Operation, ...]],
    basis: Array,
    lower: Array,
    upper: Array,
) -> list[Spots]:
    """Of each pattern, all spots that reach into its box `lower` (B, 2) to `upper` (B, 2) px from the origin.

    Positions (J, 2) px and their sites (J,). A site on a special position meets itself; it is counted once, as one
    atom.
    """
    owner = np.repeat(np.arange(len(atoms)), [len(a.sites) for a in atoms])
    sites, widths = (np.concatenate([getattr(a, name) for a in atoms]) for name in ("sites", "widths"))
    number = np.concatenate([np.arange(len(a.sites)) for a in atoms])
    reduced = reduce_bases(basis)
    inverse: Array = np.linalg.inv(reduced).astype(np.float64)
    W, w, there = padded(operations)
    q = moved(W[owner], sites[:, None]) + w[owner]
    q = moved(inverse[owner, None], moved(basis[owner, None], q))
    q -= np.floor(q)
    margin = REACH * widths[:, None]
    low, high = lower[owner] - margin, upper[owner] + margin
    corners = np.stack([np.where((i, j), high, low) for i in (0, 1) for j in (0, 1)], 1)
    u = moved(inverse[owner, None], corners)
    first, last = np.floor(u.min(1)).astype(int) - 1, np.ceil(u.max(1)).astype(int) + 1
    columns, rows = (last - first).T
    # one after the other: each site, its different images in the cell, the cells
    site, image = np.nonzero(there[owner] & ~repeated(q))
    each = (columns * rows)[site]
    which = np.repeat(np.arange(len(site)), each)
    cell = np.arange(len(which)) - np.repeat(np.cumsum(each) - each, each)
    i, j = np.divmod(cell, rows[site][which])
    site, image = site[which], image[which]
    at = moved(reduced[owner[site]], q[site, image] + first[site] + np.stack([i, j], -1))
    seen = ((at >= low[site]) & (at <= high[site])).all(-1)
    at, site = at[seen], site[seen]
    ends = np.searchsorted(owner[site], np.arange(1, len(atoms)))
    return list(zip(np.split(at, ends), np.split(number[site], ends), strict=True))


def render(atoms: Sequence[Atoms], placed: Sequence[Spots], xs: Tensor, ys: Tensor) -> Tensor:
    """Sum of Gaussian spots at the pixels ``(xs[b, i], ys[b, j])``: (B, 3, H, W), not clipped."""
    if at_once(xs.device):
        at, precision, colour = _padded(atoms, placed, xs.device)
        gx, gy = (_gaussian(precision * (t[:, None] - at[..., k, None]).square()) for k, t in ((0, xs), (1, ys)))
        sums = gy.mT[:, None] @ (gx[:, None] * colour.mT[..., None])
        return sums + _backgrounds(atoms, xs.device)
    images = torch.empty(len(atoms), 3, ys.shape[1], xs.shape[1])
    for image, a, found, x, y in zip(images, atoms, placed, xs, ys, strict=True):
        _render(image, a, found, x, y)
    return images.add_(_backgrounds(atoms, xs.device))


def _render(image: Tensor, atoms: Atoms, found: Spots, x: Tensor, y: Tensor) -> None:
    """One image, in bands of rows.

    An isotropic Gaussian is a product over x and y, so the sum over spots is one matrix product. Of an image without
    colours one channel is made.
    """
    order = np.argsort(found[0][:, 1], kind="stable")
    at, site = found[0][order], found[1][order]
    grey = bool((atoms.colours == atoms.colours[:, :1]).all())
    px, py, precision = (torch.from_numpy(t)[:, None].float() for t in (*at.T, -0.5 / atoms.widths[site] ** 2))
    colour = torch.from_numpy(atoms.colours[site].T[: 1 if grey else 3]).float()
    gx = _gaussian((x - px).square_().mul_(precision)) * colour[..., None]
    reach = FAINT * float(atoms.widths[site].max(initial=0.0))
    for k in range(0, len(y), BAND):
        rows = y[k : k + BAND]
        near = slice(*np.searchsorted(at[:, 1], (float(rows.amin()) - reach, float(rows.amax()) + reach)).tolist())
        gy = _gaussian((rows - py[near]).square_().mul_(precision[near]))
        image[:, k : k + BAND] = gy.T @ gx[:, near]


def _gaussian(exponent: Tensor) -> Tensor:
    """Its exponential, no less than e^-40: smaller numbers, and their products, are those that a CPU is slow with."""
    return exponent.clamp_min_(-40.0).exp_()


def values_at(atoms: Sequence[Atoms], placed: Sequence[Spots], points: Tensor) -> Tensor:
    """The same sums, backgrounds left out, at free points (B, P, 2): (B, 3, P)."""
    if at_once(points.device):
        at, precision, colour = _padded(atoms, placed, points.device)
        return _summed(points, at, precision, colour)
    some = [_padded([a], [found], points.device) for a, found in zip(atoms, placed, strict=True)]
    return torch.cat([_summed(p[None], *own) for p, own in zip(points, some, strict=True)])


def _summed(points: Tensor, at: Tensor, precision: Tensor, colour: Tensor) -> Tensor:
    squared, dy = (points[:, None, :, k] - at[..., k, None] for k in (0, 1))
    return colour.mT @ _gaussian(squared.square_().addcmul_(dy, dy).mul_(precision))


def _padded(atoms: Sequence[Atoms], placed: Sequence[Spots], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Where spots are (B, J, 2), their exponents' factors (B, J, 1) and colours (B, J, 3), those missing far away."""
    count = max(1, *(len(at) for at, _ in placed))
    rows = np.zeros((len(atoms), count, 6), dtype=np.float32)
    rows[..., :2] = FAR
    for row, a, (at, site) in zip(rows, atoms, placed, strict=True):
        row[: len(at)] = np.concatenate([at, -0.5 / a.widths[site, None] ** 2, a.colours[site]], 1)
    known = torch.from_numpy(rows).to(device)
    return known[..., :2], known[..., 2:3], known[..., 3:]


def _backgrounds(atoms: Sequence[Atoms], device: torch.device) -> Tensor:
    return torch.from_numpy(np.stack([a.background for a in atoms])).float().to(device)[:, :, None, None]
