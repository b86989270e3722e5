"""Fields and lattices fitted to what was seen, robustly, and how well they foretell windows that were left out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from .families import Family
from .plane import FOLDS, Lattice, Measured

ROBUST = 2.5  # medians of the error from which a window counts less
MISSING = 0.15  # of a cell's side: the error that is put down for windows that cannot be used, and the largest


@dataclass(frozen=True)
class Sighting:
    """K times: lattice vectors `steps` (K, 2), whole numbers or fractions of the cell, and the points they lead to.

    They lead to the straight points of `to` (K, 2), from those of `since` (K, 2), or from a lattice point if None.
    `information` (K, 2, 2) is the inverse covariance of what they lead to.
    """

    to: Tensor
    since: Tensor | None
    steps: Tensor
    information: Tensor

    @classmethod
    def of(cls, found: Measured, used: Tensor | None = None) -> Sighting:
        """What windows show, those that are `used` (K,)."""
        kept = found.used if used is None else used
        return cls(found.at[kept], None, found.fractions[kept], found.information[kept])

    @cached_property
    def columns(self) -> Tensor:
        """What a step of each number of the basis, and of the origin, moves: (K, 2, 4 or 6)."""
        K, whole = len(self.steps), self.since is not None
        made = self.steps.new_zeros(K, 2, 4 if whole else 6)
        made[:, 0, :2] = made[:, 1, 2:4] = self.steps
        if not whole:
            made[:, 0, 4] = made[:, 1, 5] = 1
        return made

    def straight(self, family: Family, c: Tensor) -> Tensor:
        """Where the field has what they lead to: (K, 2)."""
        there = family.apply(self.to, c)
        return there if self.since is None else there - family.apply(self.since, c)

    def slope(self, family: Family, c: Tensor) -> Tensor:
        """Derivatives of that by the parameters: (K, 2, size)."""
        slope = family.slope(self.to, c)
        return slope if self.since is None else slope - family.slope(self.since, c)

    def errors(self, family: Family, c: Tensor, lattice: Lattice) -> Tensor:
        """Distances of that from where the lattice has it: (K,)."""
        return self._off(self.straight(family, c), lattice)

    def _off(self, straight: Tensor, lattice: Lattice) -> Tensor:
        there = self.steps @ lattice.basis.T
        off: Tensor = (straight - (there if self.since is not None else there + lattice.origin)).norm(dim=-1)
        return off


def fitted(seen: Sighting, family: Family, start: Tensor) -> tuple[Tensor, Lattice]:
    """Parameters of `family` and the lattice for which straight points lie where the lattice has them.

    Least squares, weighed by information and, in three rounds, by how far points are off (Huber). `start` are
    parameters near by, which matter only to families that are not linear.
    """
    weight, c, slope = torch.ones_like(seen.to[:, 0]), start, seen.slope(family, start)
    plain = seen.straight(family, start) - slope @ start
    for _ in range(3):
        if not family.linear:
            slope = seen.slope(family, c)
            plain = seen.straight(family, c) - slope @ c
        c, lattice = _least_squares(seen, family, slope, plain, weight)
        off = seen._off(plain + slope @ c if family.linear else seen.straight(family, c), lattice)
        weight = (ROBUST * off.median().clamp_min(1e-4) / off.clamp_min(1e-9)).clamp_max(1)
    return c, lattice


def _least_squares(
    seen: Sighting, family: Family, slope: Tensor, plain: Tensor, weight: Tensor
) -> tuple[Tensor, Lattice]:
    n, information = family.size, seen.information * weight[:, None, None]
    design = torch.cat([slope, -seen.columns], -1)
    weighed = (information @ design).flatten(0, 1)
    normal = (design.flatten(0, 1).T @ weighed).double()
    wanted = -(weighed.T @ plain.flatten()).double()
    penalty = family.penalty()
    if penalty is not None:
        normal[:n, :n] += penalty.to(normal) * information.diagonal(dim1=1, dim2=2).sum()
    normal.diagonal().add_(1e-7 * normal.diagonal().mean() + 1e-12)
    x = torch.linalg.solve(normal, wanted).to(plain)
    return x[:n], Lattice(x[n : n + 4].reshape(2, 2), x[n + 4 :] if seen.since is None else x.new_zeros(2))


def cross_validated(found: Measured, family: Family, c: Tensor, side: float) -> tuple[float, float]:
    """Mean error of windows that the fit did not see, and its standard error, in the unit of the points.

    Every fifth window is left out in turn. Windows that cannot be used count with `MISSING` of `side`, the cell's.
    """
    most = MISSING * side
    error = torch.full_like(found.agreement, most)
    for k in range(FOLDS):
        out = found.used & (found.fold == k)
        rest = found.used & (found.fold != k)
        if out.any() and rest.any():
            error[out] = Sighting.of(found, out).errors(family, *fitted(Sighting.of(found, rest), family, c))
    error = error.clamp_max(most)
    error = error.clamp_max(float(error.quantile(0.97)))
    return float(error.mean()), float(error.std() / len(error) ** 0.5)
