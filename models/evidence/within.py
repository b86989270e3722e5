"""Which lattice an image has within a tolerance: evidence on finer and coarser ones than the lattice that was found.

A superlattice is the lattice up to the misfit of the translations that it breaks, a finer lattice is from its misfit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .batches import joined, put, rows
from .lattice import Lattice, reduce_basis
from .representation import Evidence
from .structure import Structure
from .superlattice import refinements, translation_misfits

NARROWEST, WIDEST = 0.004, 0.4  # misfits at which a change of lattice is told
ALIKE = 1.1  # a still finer lattice that misfits by no more than so many times as much is taken at once


@dataclass(frozen=True)
class OtherLattices:
    """Evidence on K further lattices of B images, those of images `row` (K,) from `lower` to below `upper` (K,).

    `own_lower` and `own_upper` (B,) are the tolerances between which the lattice that was found is the image's.
    """

    evidence: Evidence
    row: Tensor
    lower: Tensor
    upper: Tensor
    own_lower: Tensor
    own_upper: Tensor

    def at(self, tolerance: float, found: Evidence) -> Evidence:
        """The evidence `found` of the B images, on the lattices that they have at `tolerance`."""
        here = ((self.lower <= tolerance) & (tolerance < self.upper)).nonzero().flatten()
        row, other = self.row[here], self.evidence
        return replace(
            found,
            maps=found.maps.index_copy(0, row, other.maps[here]),
            numbers=found.numbers.index_copy(0, row, other.numbers[here]),
            lattice=put(found.lattice, row, rows(other.lattice, here)),
            structure=put(found.structure, row, rows(other.structure, here)),
            groups=put(found.groups, row, rows(other.groups, here)),
        )


def other_lattices(found: Evidence, represent: Callable[[Tensor, Lattice], Evidence]) -> OtherLattices | None:
    """The further lattices of the images whose evidence is `found`, and evidence on them; None if there are none."""
    lattice = found.lattice
    area, larger, smaller = (torch.linalg.det(b).abs() for b in (lattice.basis, lattice.coarser, lattice.finer))
    above = (larger > 1.5 * area).nonzero().flatten()
    misfit = translation_misfits(found.structure, lattice.basis, lattice.finer)
    near = (misfit > NARROWEST) & (misfit < WIDEST)
    below = ((smaller < 0.75 * area) & near).nonzero().flatten()
    if not len(above) + len(below):
        return None
    finer = lattice.finer.clone()
    structure = rows(found.structure, below)
    finer[below], misfit[below] = _finest(structure, lattice.basis[below], finer[below], misfit[below])
    some, others = rows(lattice, above), replace(rows(lattice, below), finer=finer[below])
    none = torch.zeros_like(others.level)
    evidence = represent(
        found.level[torch.cat([above, below])],
        joined([
            replace(some, basis=some.coarser, level=some.coarser_level, coset=some.level, finer=some.basis),
            replace(others, basis=others.finer, level=others.coset, coset=none, coarser=others.finer),
        ]),
    )  # fmt: skip
    broken = translation_misfits(rows(evidence.structure, slice(len(above))), some.coarser, some.basis)
    broken = torch.where(broken < NARROWEST, 0.0, broken.clamp_max(WIDEST))
    lower, upper = torch.zeros_like(area), torch.ones_like(area)
    lower[above], upper[below] = broken, misfit[below]
    upper = torch.maximum(lower, upper)
    return OtherLattices(
        evidence,
        torch.cat([above, below]),
        torch.cat([torch.zeros_like(broken), upper[below]]),
        torch.cat([broken, torch.ones_like(none)]),
        lower,
        upper,
    )


def _finest(structure: Structure, basis: Tensor, finer: Tensor, misfit: Tensor) -> tuple[Tensor, Tensor]:
    """A lattice finer again by two or three, where it misfits hardly more, and its misfit; else what was given."""
    for divided in refinements().bases[:7]:  # three by two, four by three
        other = reduce_basis(finer @ basis.new_tensor(divided))
        here = translation_misfits(structure, basis, other)
        better = here < ALIKE * misfit
        finer = torch.where(better[:, None, None], other, finer)
        misfit = torch.where(better, torch.maximum(here, misfit), misfit)
    return finer, misfit
