"""The lattice of an image: peaks of its overlap-normalised autocorrelation, and the basis that explains them.

Everything is batched over images of one size and runs alike on CPU and GPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from .autocorrelation import sample
from .background import without_slope
from .peaks import FEW_SLACK, FEWEST, LEAST, candidates
from .repeats import HALF, SHORTEST, combinations, coset_levels, lost_when_moved, refine, sixfold, surfaces, weights
from .superlattice import refinements, superlattice

ERRORS = 2.5  # standard errors by which a finer lattice may repeat less well, see find_lattice
DIVISIONS = 4  # times that a lattice is made finer at most
HEXAGONAL_SLACK = 0.14  # what such a lattice within a rectangular one may lose besides, see `Refinements.slack`
ROUNDED = 0.75  # px by which copies in any other whole-pixel cell may be
OUT_OF_PLACE = 1.5  # px by which copies in a whole-pixel hexagonal cell may be out of place
HEXAGONAL = 0.03  # relative change of the metric under which a lattice counts as hexagonal
SIXFOLD = 0.75  # share of the autocorrelation that a sixfold rotation has to keep for the slack of the next line
BROKEN = 0.02  # misfit from which translations that a superlattice breaks, surely, count as broken


@dataclass(frozen=True)
class Lattice:
    """Reduced bases of a batch: `basis` (B, 2, 2), columns a and b in px (x right, y down).

    |a| <= |b| and the angle between them lies in [90, 120] degrees. `level` (B,) is the mean correlation
    of the image with itself shifted by lattice vectors: 1 for a perfect repeat, about 0 for none.
    `coset` (B,) is the highest such level of a finer lattice that was rejected, `finer` (B, 2, 2) that lattice.
    `coarser` (B, 2, 2) is the superlattice on which the image repeats clearly better, if any, and `coarser_level` (B,)
    how well; else they are as `basis` and `level`.
    """

    basis: Tensor
    level: Tensor
    coset: Tensor
    finer: Tensor
    coarser: Tensor
    coarser_level: Tensor

    @classmethod
    def alone(cls, basis: Tensor, level: Tensor, coset: Tensor) -> Lattice:
        """Without a finer or a coarser one."""
        return cls(basis, level, coset, basis, basis, level)


def reduce_basis(basis: Tensor) -> Tensor:
    """Lagrange-reduced bases (B, 2, 2) with |a| <= |b| and an obtuse (or right) angle."""
    a, b = basis.unbind(-1)
    for _ in range(12):
        swap = (a.square().sum(-1) > b.square().sum(-1))[:, None]
        a, b = torch.where(swap, b, a), torch.where(swap, a, b)
        n = ((a * b).sum(-1) / a.square().sum(-1).clamp_min(1e-9)).round()
        b = b - n[:, None] * a
    swap = (a.square().sum(-1) > b.square().sum(-1))[:, None]
    a, b = torch.where(swap, b, a), torch.where(swap, a, b)
    b = torch.where(((a * b).sum(-1) > 0)[:, None], -b, b)
    return torch.stack([a, b], -1)


def _misfit(reduced: Tensor) -> Tensor:
    """How far reduced lattices (..., 2, 2) are from hexagonal: change of the metric under a sixfold rotation."""
    metric = reduced.mT @ reduced
    W = reduced.new_tensor([[1.0, -1.0], [1.0, 0.0]])
    change = (W.T @ metric @ W - metric).abs().amax((-2, -1))
    misfit: Tensor = change / torch.linalg.det(reduced).abs().clamp_min(1e-6)
    return misfit


def _lowest(levels: Tensor, owner: Tensor, count: int) -> Tensor:
    """The lowest of the levels (B, T) of each refinement: (B, count)."""
    lowest = levels.new_full((len(levels), count), torch.inf)
    return lowest.scatter_reduce(1, owner.expand(len(levels), -1), levels, "amin")


def divided(
    surface: Tensor, basis: Tensor, lost: Tensor, shape: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Lattices (B, 2, 2) made finer by the prime index that repeats best.

    Whether that repeats well enough (B,), the finer lattice, the highest level of all (B,) and the lattice that has it.
    `lost` (B,) is what a hexagonal one may lose of the autocorrelation.
    """
    cosets, bases, owner, slack = _table(basis.device)
    levels, error = coset_levels(surface, basis, cosets, shape)
    raised = levels[:, 1:] + ERRORS * (error[:, 1:].square() + error[:, :1].square()).sqrt()
    lowest, bound = (_lowest(x, owner, len(slack)) for x in (levels[:, 1:], raised))
    finer = basis[:, None] @ bases
    reduced = reduce_basis(torch.cat([basis[:, None], finer], 1).flatten(0, 1)).reshape(len(basis), -1, 2, 2)
    hexagonal = _misfit(reduced) < HEXAGONAL
    rounded = torch.where(sixfold(surface, basis) > SIXFOLD, lost, 0.0).clamp_min(HEXAGONAL_SLACK)
    allowed = torch.where(hexagonal[:, 1:] & ~hexagonal[:, :1], rounded[:, None], slack)
    few = torch.linalg.det(basis).abs() > shape[0] * shape[1] / FEWEST
    best, pick = (bound + allowed + FEW_SLACK * few[:, None]).max(1)
    each = torch.arange(len(basis), device=basis.device)
    smaller = reduced[each, 1 + pick]
    accept = (best >= levels[:, 0]) & (torch.linalg.det(smaller).abs() > LEAST)
    accept &= smaller.norm(dim=1).amin(-1) > SHORTEST
    highest_level, second = lowest.max(1)
    return accept, smaller, highest_level, finer[each, second]


@lru_cache(maxsize=4)
@torch.inference_mode(False)
def _table(device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Cosets (1 + T, 2), the first of them the lattice itself, and `refinements` as tensors: bases, owner, slack."""
    made = refinements()
    floats = [torch.tensor(x, device=device) for x in ([(0.0, 0.0), *made.fractions], made.bases, made.slack)]
    return floats[0], floats[1], torch.tensor(made.owner, device=device), floats[2]


def find_lattice(images: Tensor) -> Lattice:
    """Primitive lattices of images (B, C, H, W), any range.

    From the best pair of autocorrelation peaks the lattice is made finer, by a prime index at a time, as long
    as the added points correlate as well as the lattice itself, up to `ERRORS` standard errors of the difference and
    some slack: in a disordered crystal correlations scatter, the more so the fewer cells are in view. A hexagonal
    lattice within a rectangular one gets more slack: images made of whole-pixel rectangular cells repeat their
    hexagonal ones only roughly, the more so the finer their texture. If the autocorrelation has a sixfold axis, it is
    what the image loses when it is moved by `OUT_OF_PLACE` px. A lattice of which fewer than `FEWEST` cells are in view
    is given up more easily: few copies of a disordered cell agree by chance.

    A superlattice on which the image repeats better beyond doubt is the lattice where the finer one misfits by more
    than `BROKEN`.
    """
    shape = (images.shape[-2], images.shape[-1])
    surface = surfaces(without_slope(images))
    basis = reduce_basis(refine(surface, candidates(surface, shape), shape))
    lost = lost_when_moved(surface, OUT_OF_PLACE)
    refused, unused = basis.new_full((len(basis),), -1.0), basis
    rows, seen = torch.arange(len(basis), device=basis.device), surface
    for _ in range(DIVISIONS):
        accept, smaller, level, other = divided(seen, basis[rows], lost[rows], shape)
        refused = refused.index_copy(0, rows, torch.where(accept, refused[rows], level))
        unused = unused.index_copy(0, rows, torch.where(accept[:, None, None], unused[rows], other))
        # a card is waited for here, which costs less than the hundreds of operations of a step for nothing
        rows, seen, smaller = (t[accept] for t in (rows, seen, smaller))
        if not len(rows):
            break
        new = reduce_basis(refine(seen, smaller, shape))
        unused, basis = (t.index_copy(0, rows, new) for t in (unused, basis))
    level = coset_levels(surface, basis, basis.new_zeros(1, 2), shape)[0][:, 0]
    nm = combinations(HALF, basis.device)
    points = torch.einsum("bij,kj->bki", basis, nm)
    larger, inside, outside = superlattice(sample(surface, points), weights(points, shape), nm)
    coarser, finer = reduce_basis(basis @ larger), reduce_basis(unused)
    # cells of whole pixels repeat exactly, and the finer lattice within them only to about half a pixel
    bound = lost_when_moved(surface, ROUNDED).clamp_min(BROKEN)
    whole = (_misfit(basis) < HEXAGONAL) & (_misfit(coarser) >= HEXAGONAL)
    bound = torch.where(whole, lost.clamp_min(HEXAGONAL_SLACK), bound)
    taken = outside < (1 - bound) * inside
    return Lattice(
        torch.where(taken[:, None, None], coarser, basis),
        torch.where(taken, inside, level),
        torch.where(taken, outside, refused),
        torch.where(taken[:, None, None], basis, finer),
        coarser,
        inside,
    )
