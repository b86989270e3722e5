"""The answer at every tolerance: log-probabilities on each lattice that an image has at some of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .evidence.representation import Evidence
from .evidence.within import OtherLattices

TOLERANCES = tuple(0.004 * 100 ** (k / 32) for k in range(33))  # at which an image is asked about


@dataclass(frozen=True)
class Stretch:
    """Tolerances from `lower` to `upper` at which an image has the lattice `basis` (2, 2) px.

    `log_probabilities` (T, L) are those on it at all of `TOLERANCES`.
    """

    lower: float
    upper: float
    basis: Tensor
    log_probabilities: Tensor


@dataclass(frozen=True)
class Ladder:
    """Log-probabilities (T, K, L) of B images on K lattices at each of `TOLERANCES`; an image has one lattice or more.

    `row` (K,) is the image that a lattice belongs to, `basis` (K, 2, 2) the lattice, and `lower` and `upper` (K,) are
    the tolerances between which it is the image's. The first B are the lattices that were found.
    """

    log_probabilities: Tensor
    row: Tensor
    basis: Tensor
    lower: Tensor
    upper: Tensor

    @classmethod
    def of(cls, found: Evidence, own: Tensor, others: OtherLattices | None, on_others: Tensor | None) -> Ladder:
        """From log-probabilities on the lattices found (T, B, L) and on others (T, K - B, L), where there are any."""
        basis = found.lattice.basis
        first = torch.arange(len(basis), device=basis.device)
        if others is None or on_others is None:
            nothing = torch.zeros(len(basis), device=basis.device)
            return cls(own, first, basis, nothing, nothing + 1)
        return cls(
            torch.cat([own, on_others], 1),
            torch.cat([first, others.row]),
            torch.cat([basis, others.evidence.lattice.basis]),
            torch.cat([others.own_lower, others.lower]),
            torch.cat([others.own_upper, others.upper]),
        )

    def stretches(self, index: int) -> list[Stretch]:
        """Those of image `index` on the CPU, from exact to forgiving; none is empty."""
        here = ((self.row == index) & (self.upper > self.lower)).nonzero().flatten().tolist()
        made = [
            Stretch(float(self.lower[k]), float(self.upper[k]), self.basis[k].cpu(), self.log_probabilities[:, k].cpu())
            for k in here
        ]
        return sorted(made, key=lambda stretch: stretch.lower)
