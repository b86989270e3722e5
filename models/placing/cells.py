"""The averaged cell as a picture, and the image that a group makes of it, both for display.

The numbers come from structure factors (`operations`); here pixels are resampled, which blurs them a little.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ...hierarchy import Operation

Array = NDArray[np.float64]
FINEST, COARSEST = 512, 16  # points of a cell along each axis
DENSER = 1.25  # points of a cell for one px, so that resampling costs little sharpness


def cell_side(basis: Array) -> int:
    """Points along each axis of a cell `basis` (2, 2) px that lose no detail; even, so that halves are whole."""
    longest = float(np.linalg.norm(basis, axis=0).max())
    return int(np.clip(2 * np.ceil(DENSER * longest / 2), COARSEST, FINEST))


def averaged_cell(image: Tensor, basis: Array, origin: Array) -> Tensor:
    """The mean of all cells of an image (C, H, W): (C, N, N), first axis along `a`.

    `basis` (2, 2) columns `a` and `b`, `origin` (2,) px of the image. Points that no cell shows have the image's mean.
    """
    C, H, W = image.shape
    n = cell_side(basis)
    ticks = torch.arange(n, dtype=torch.float32) / n
    u = torch.stack(torch.meshgrid(ticks, ticks, indexing="ij"), -1).reshape(-1, 2).to(image.device)
    matrix = torch.from_numpy(basis).float().to(image.device)
    corners = np.linalg.solve(basis, (np.array(list(product((0, W), (0, H)))) - origin).T).T
    low, high = np.floor(corners.min(0)).astype(int) - 1, np.ceil(corners.max(0)).astype(int)
    total, count = image.new_zeros(C, n * n), image.new_zeros(n * n)
    for step in product(range(low[0], high[0] + 1), range(low[1], high[1] + 1)):
        points = (u + u.new_tensor(step)) @ matrix.T + torch.from_numpy(origin).float().to(image.device)
        inside = ((points > 0.5) & (points < points.new_tensor([W - 1.5, H - 1.5]))).all(-1)
        if inside.any():
            total += _read(image, points) * inside
            count += inside
    mean = image.mean((1, 2), keepdim=True).flatten(1)
    return torch.where(count > 0, total / count.clamp_min(1), mean).reshape(C, n, n)


def symmetrised_cell(cell: Tensor, operations: tuple[Operation, ...]) -> Tensor:
    """The mean of a cell (C, N, N) and all its images under a group's operations, all exact on the grid."""
    n = cell.shape[-1]
    place = np.stack(np.meshgrid(np.arange(n), np.arange(n), indexing="ij"), -1)
    total = torch.zeros_like(cell)
    for op in operations:
        if any((n * t).denominator != 1 for t in op.w):
            raise ValueError(f"operation {op.xyz!r} leaves a grid of {n} points: its translation needs another")
        at = (place @ np.array(op.W).T + np.array([int(n * t) for t in op.w])) % n
        total += cell[:, at[..., 0], at[..., 1]]
    return total / len(operations)


def tiled(cell: Tensor, basis: Array, origin: Array, height: int, width: int) -> Tensor:
    """The image (C, height, width) that a cell (C, N, N) repeats; `basis` and `origin` as in `averaged_cell`."""
    n = cell.shape[-1]
    y, x = np.mgrid[:height, :width].astype(float)
    u = np.linalg.solve(basis, (np.stack([x.ravel(), y.ravel()], 1) - origin).T).T % 1.0
    # the cell's first axis is along a: it is read as an image whose rows are a
    points = torch.from_numpy(u[:, ::-1] * n + 2).float().to(cell.device)
    wrapped = F.pad(cell[None], (2, 3, 2, 3), mode="circular")[0]
    return _read(wrapped, points).reshape(-1, height, width)


def _read(image: Tensor, points: Tensor) -> Tensor:
    """Bicubic values (C, P) of an image (C, H, W) at `points` (P, 2) px, x first."""
    _, H, W = image.shape
    scaled = points / points.new_tensor([W - 1, H - 1]) * 2 - 1
    values = F.grid_sample(
        image[None], scaled[None, None], mode="bicubic", padding_mode="border", align_corners=True
    )  # (1, C, 1, P)
    return values[0, :, 0]
