"""The first guess at a lattice: the pair of autocorrelation peaks whose sums and differences are peaks too."""

from __future__ import annotations

import torch
from torch import Tensor

from .autocorrelation import BEFORE, highest, quadratic
from .repeats import combinations, weights

PEAKS = 48
LEAST = 30.0  # px^2: smaller cells are not looked for
FEWEST, FEW_SLACK = 3.8, 0.07  # a lattice with fewer cells in view has to be better by this much: patterns show four


def candidates(surface: Tensor, shape: tuple[int, int]) -> Tensor:
    """The most convincing basis among pairs of autocorrelation peaks: (B, 2, 2), columns a and b."""
    there, surface = surface, surface[:, BEFORE:]
    B, rows, columns = surface.shape
    X = columns // 2
    H, W = shape
    pooled = highest(surface, 2)
    y = torch.arange(rows, device=surface.device)[:, None].expand(rows, columns)
    x = (torch.arange(columns, device=surface.device) - X)[None].expand(rows, columns)
    allowed = (x**2 + y**2 > 9) & ((y > 0) | (x > 0)) & (y < rows - 3) & (x.abs() < X - 3)
    length = (x**2 + y**2).float().sqrt() / max(shape)
    merit = torch.where((surface == pooled) & allowed, surface - 0.15 * length, -torch.inf)
    best, at = _highest(merit.flatten(1), PEAKS)
    peaks = torch.stack([x.flatten()[at], y.flatten()[at]], -1).float()
    slope, bend = quadratic(there, peaks)
    step = torch.linalg.solve(bend + 1e-3 * torch.eye(2, device=bend.device), slope[..., None])[..., 0]
    peaks = peaks + step.clamp(-1, 1)

    i, j = torch.triu_indices(PEAKS, PEAKS, 1, device=surface.device)
    a, b = peaks[:, i], peaks[:, j]
    valid = best[:, i].isfinite() & best[:, j].isfinite()
    dot, aa, bb = (a * b).sum(-1), a.square().sum(-1), b.square().sum(-1)
    area = (a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]).abs()
    valid &= (dot.abs() <= 0.56 * torch.minimum(aa, bb)) & (area >= LEAST) & (area <= 0.5 * H * W)
    nm = combinations(2, surface.device)
    points = a[:, :, None] * nm[:, :1] + b[:, :, None] * nm[:, 1:]
    weight = weights(points, shape)
    near = highest(surface, 1)
    flip = torch.where(points[..., 1:] < 0, -1.0, 1.0)
    cell = (points * flip).round().long()
    index = cell[..., 1].clamp(0, rows - 1) * columns + (cell[..., 0] + X).clamp(0, columns - 1)
    values = near.flatten(1).gather(1, index.flatten(1)).reshape(index.shape)
    score = (values * weight).sum(-1) / weight.sum(-1).clamp_min(1e-9)
    support = (weight > 0).sum(-1)
    score = score - 0.01 * (area / (H * W)).clamp_min(1e-6).log() - FEW_SLACK * (area > H * W / FEWEST)
    score = torch.where(valid & (support >= 2), score, -torch.inf)
    pick = score.argmax(1)
    take = torch.arange(B, device=surface.device)
    basis = torch.stack([a[take, pick], b[take, pick]], -1)
    fallback = torch.diag(basis.new_tensor([W / 2, H / 2])).expand(B, 2, 2)
    return torch.where(score.amax(1).isfinite()[:, None, None], basis, fallback)


def _highest(merit: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The highest of (B, N), most of which are minus infinity, and where: (B, count) each."""
    if merit.device.type != "cpu":
        found = merit.topk(count, dim=1)
        return found.values, found.indices
    best = merit.new_full((len(merit), count), -torch.inf)
    at = torch.zeros(len(merit), count, dtype=torch.long)
    for i, row in enumerate(merit):
        some = row.isfinite().nonzero()[:, 0]
        top = row[some].topk(min(count, len(some)))
        best[i, : len(top.values)], at[i, : len(top.values)] = top.values, some[top.indices]
    return best, at
