"""Fields and lattices fitted to what windows show, robustly, and how well they foretell windows that were left out."""

from __future__ import annotations

import torch
from torch import Tensor

from .families import Family
from .matching import Lattice, Measured

ROBUST = 2.5  # medians of the error from which a window counts less
FOLDS = 5
MISSING = 0.15  # of a cell's side: the error that is put down for windows that cannot be used, and the largest


def fitted(found: Measured, family: Family, start: Tensor, used: Tensor | None = None) -> tuple[Tensor, Lattice]:
    """Parameters of `family` and the lattice for which straight points lie where the lattice has them.

    Least squares, windows weighed by their information and, in three rounds, by how far they are off (Huber).
    `start` are parameters near by, which matter only to families that are not linear.
    """
    used = found.used if used is None else used
    weight, c = used.float(), start
    for _ in range(3):
        c, lattice = _least_squares(found, family, c, weight)
        off = errors(found, family, c, lattice)
        typical = off[used].median().clamp_min(1e-4)
        weight = used * (ROBUST * typical / off.clamp_min(1e-9)).clamp_max(1)
    return c, lattice


def errors(found: Measured, family: Family, c: Tensor, lattice: Lattice) -> Tensor:
    """Distances of straight points from where the lattice has them: (K,)."""
    there = found.fractions @ lattice.basis.T + lattice.origin
    off: Tensor = (family.apply(found.at, c) - there).norm(dim=-1)
    return off


def _least_squares(found: Measured, family: Family, c: Tensor, weight: Tensor) -> tuple[Tensor, Lattice]:
    n, information = family.size, found.information * weight[:, None, None]
    slope = family.slope(found.at, c)
    lattice = found.at.new_zeros(len(found.at), 2, 6)
    lattice[:, 0, :2] = lattice[:, 1, 2:4] = -found.fractions
    lattice[:, 0, 4] = lattice[:, 1, 5] = -1
    design = torch.cat([slope, lattice], -1)
    right = slope @ c - family.apply(found.at, c)
    normal = torch.einsum("kia,kij,kjb->ab", design, information, design).double()
    wanted = torch.einsum("kia,kij,kj->a", design, information, right).double()
    penalty = family.penalty()
    if penalty is not None:
        normal[:n, :n] += penalty.to(normal) * information.diagonal(dim1=1, dim2=2).sum()
    normal.diagonal().add_(1e-7 * normal.diagonal().mean() + 1e-12)
    x = torch.linalg.solve(normal, wanted).to(c)
    return x[:n], Lattice(x[n : n + 4].reshape(2, 2), x[n + 4 :])


def cross_validated(found: Measured, family: Family, c: Tensor, side: float) -> tuple[float, float]:
    """Mean error of windows that the fit did not see, and its standard error, in the unit of the points.

    Every fifth window is left out in turn. Windows that cannot be used count with `MISSING` of `side`, the cell's.
    """
    row, column = (torch.arange(n, device=c.device) for n in found.grid)
    fold = ((row[:, None] + 2 * column) % FOLDS).flatten()
    most = MISSING * side
    error = torch.full_like(found.agreement, most)
    for k in range(FOLDS):
        out = found.used & (fold == k)
        rest = found.used & (fold != k)
        if out.any() and rest.any():
            error[out] = errors(found, family, *fitted(found, family, c, rest))[out]
    error = error.clamp_max(most)
    error = error.clamp_max(float(error.quantile(0.97)))
    return float(error.mean()), float(error.std() / len(error) ** 0.5)
