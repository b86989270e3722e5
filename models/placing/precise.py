"""The lattice by least squares on all pixels, and how certain it is, from the scatter between parts of the image.

The averaged cell repeated on the lattice is the model of the image. Where the lattice is a little off, the pattern
seems displaced, the more so the farther from the middle: d(x) = t + E x. To first order the image then differs from the
model by its slope times d, so E follows by least squares (Lucas and Kanade, 1981; here for all of the view at once).
How differently the blocks of the image pull at E gives its covariance, whatever the reason, noise shared by neighbours
or atoms that are displaced: White's estimator with clusters (Econometrica 48, 1980, 817), without its bias.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...arrays import finest
from ..evidence.background import without_slope
from ..evidence.structure import harmonics, structure_factors

BLOCKS = 8  # along a side, at most
CELLS = 1.25  # cells that a block is at least as wide as, so that blocks are independent
ABOVE = 6.0  # times the power of noise from which a reflection is part of the model
STEPS = 2
PIXELS = 2**15  # at a time
PARAMETERS = 6
TINY = 1e-9
WITHIN = 0.841345  # of a normal distribution lies below one standard deviation


@dataclass(frozen=True)
class Precise:
    """A lattice `basis` (2, 2) px, and the `covariance` (4, 4) of E, by rows, where (1 + E) `basis` is the true one."""

    basis: Tensor
    covariance: Tensor


def precise_lattice(image: Tensor, basis: Tensor) -> Precise | None:
    """The lattice of an image (C, H, W), beginning near it, at `basis` (2, 2) px.

    None where there are too few reflections, or fewer than nine blocks of more than a cell.
    """
    flat = without_slope(image[None])[0]
    if torch.equal(flat[:1].expand_as(flat), flat):
        flat = flat[:1]
    kind = finest(image.device)
    one = torch.eye(2, dtype=kind, device=image.device)
    start, basis, made = basis, basis.to(kind), None
    for _ in range(STEPS):
        made = _step(flat, basis.to(image.dtype))
        if made is None:
            return None
        basis = (one + made.basis) @ basis
    moved = (torch.linalg.inv(start.to(kind)) @ basis - one).abs().amax()
    if made is None or not bool(moved < 0.05):
        return None  # it did not begin near
    return Precise(basis, made.covariance)


def _step(flat: Tensor, basis: Tensor) -> Precise | None:
    """E, in place of a basis, and its covariance, of an image (C, H, W) without slope."""
    from scipy.special import stdtrit  # only where uncertainties are asked for

    hk, F = _model(flat, basis)
    height, width = flat.shape[-2:]
    across = float(basis.norm(dim=0).amax()) * CELLS
    rows, columns = (min(BLOCKS, int(n / across)) for n in (height, width))
    if len(hk) < 2 or rows * columns < 9:
        return None
    kind, longest = finest(flat.device), max(height, width) / 2
    q = hk @ torch.linalg.inv(basis)
    turns = 2j * math.pi * q.T[:, None] * F
    A = torch.zeros(rows * columns, PARAMETERS, PARAMETERS, dtype=kind, device=flat.device)
    g = torch.zeros(rows * columns, PARAMETERS, dtype=kind, device=flat.device)
    for first in range(0, height * width, PIXELS):
        index = torch.arange(first, min(first + PIXELS, height * width), device=flat.device)
        y, x = index // width, index % width
        at = torch.stack([x - (width - 1) / 2, y - (height - 1) / 2], -1)
        phase = 2 * math.pi * at @ q.T
        wave = torch.polar(torch.ones_like(phase), phase)
        rest = flat.flatten(1).T[index] - 2 * (wave @ F.T).real
        slope = torch.stack([2 * (wave @ turn.T).real for turn in turns], -1)
        # a pattern displaced by d is the model less its slope times d; E in units of the half view
        change = -torch.cat([slope, (slope[..., None] * (at / longest)[:, None, None]).flatten(2)], -1)
        block = y * rows // height * columns + x * columns // width
        A.index_add_(0, block, torch.einsum("pci,pcj->pij", change, change).to(kind))
        g.index_add_(0, block, torch.einsum("pci,pc->pi", change, rest).to(kind))
    whole = A.sum(0)
    size = whole.diagonal().amin() / whole.diagonal().amax().clamp_min(1e-30)
    if not bool(size > 1e-6):
        return None  # one set of stripes says nothing of the other direction
    inverse = torch.linalg.inv(whole)
    solved = inverse @ g.sum(0)
    left = _unshrunk(A, inverse) @ (g - A @ solved)[..., None]
    # of few blocks the scatter itself is uncertain: a range that holds 68 % is that much wider
    wider = float(stdtrit(len(g) - PARAMETERS, WITHIN)) ** 2
    covariance = wider * (inverse @ (left @ left.mT).sum(0) @ inverse)[2:, 2:] / longest**2
    return Precise((solved[2:] / longest).reshape(2, 2), covariance)


def _unshrunk(A: Tensor, inverse: Tensor) -> Tensor:
    """What undoes that a fit takes a part of each block's pull for itself: (N, P, P), for `A` (N, P, P) of blocks.

    With errors alike everywhere the pulls A e that are left scatter by A - A inverse A in place of A (Bell and
    McCaffrey, Survey Methodology 28, 2002, 169).
    """
    values, vectors = torch.linalg.eigh(A)
    root = values.clamp_min(TINY * float(values.amax())).sqrt()
    up, down = ((vectors * x[:, None]) @ vectors.mT for x in (root, 1 / root))
    share, axes = torch.linalg.eigh(up @ inverse @ up)
    left = (axes * (1 - share).clamp_min(TINY).rsqrt()[:, None]) @ axes.mT
    undone: Tensor = up @ left @ down
    return undone


def _model(flat: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """Indices (N, 2) of the reflections above the noise, one of each Friedel pair, and values (C, N)."""
    structure = structure_factors(flat[None], basis[None])
    F, noise, radius = (
        structure.coefficients[0].flatten(1),
        structure.noise[0].flatten(2),
        structure.radius[0].flatten(),
    )
    hk = harmonics(flat.device).reshape(-1, 2)
    first = (hk[:, 0] > 0) | ((hk[:, 0] == 0) & (hk[:, 1] > 0))
    strong = F.abs().square().sum(0) > ABOVE * noise.abs().square().sum(1).mean(0)
    kept = (first & strong & (radius <= 1)).nonzero().flatten()
    return hk[kept], F[:, kept]


def cell_lengths(
    cell: Tensor, covariance: Tensor, equal: bool = False, angle: float | None = None
) -> tuple[Tensor, Tensor]:
    """`a`, `b` in px and gamma in degrees (3,) of a cell (2, 2), columns a and b, and standard uncertainties (3,).

    With `angle` in degrees gamma is that, and if `equal` b is a: the cell that fits under these constraints by
    generalised least squares.

    >>> values, uncertain = cell_lengths(torch.diag(torch.tensor([4.0, 5.0])), 1e-6 * torch.eye(4))
    >>> values.tolist(), [round(float(x), 6) for x in uncertain[:2]]
    ([4.0, 5.0, 90.0], [0.004, 0.005])
    >>> values, uncertain = cell_lengths(torch.diag(torch.tensor([4.0, 4.002])), 1e-6 * torch.eye(4), True, 90.0)
    >>> [round(float(x), 4) for x in (*values, *uncertain)]
    [4.001, 4.001, 90.0, 0.0028, 0.0028, 0.0]
    """
    a, b = cell.unbind(-1)
    (la, lb), cross = (a.norm(), b.norm()), torch.stack([a[0] * b[1] - a[1] * b[0], a @ b])
    gamma = torch.atan2(cross[0].abs(), cross[1])
    # E stretches a by a E a / |a|, and turns it by n E a / |a| with n across it
    ua, ub = a / la, b / lb
    na, nb = (torch.stack([-u[1], u[0]]) for u in (ua, ub))
    turn = torch.outer(nb, ub) - torch.outer(na, ua)
    slopes = torch.stack([la * torch.outer(ua, ua), lb * torch.outer(ub, ub), turn]).flatten(1)
    values, spread = torch.stack([la, lb, gamma]), slopes @ covariance @ slopes.T
    if angle is not None:
        values, spread = _constrained(values, spread, equal, math.radians(angle))
    uncertain = spread.diagonal().clamp_min(0).sqrt()
    degrees = values.new_tensor([1.0, 1.0, 180 / math.pi])
    return values * degrees, uncertain * degrees


def _constrained(values: Tensor, spread: Tensor, equal: bool, angle: float) -> tuple[Tensor, Tensor]:
    """Lengths and angle (3,) nearest to `values` by their covariance (3, 3) with that angle; the covariance."""
    free = values.new_tensor([[1, 0], [0, 1], [0, 0]]) if not equal else values.new_tensor([[1], [1], [0]])
    fixed = values.new_tensor([0, 0, angle])
    least = 1e-12 * spread.diagonal().mean().clamp_min(1e-24)
    weight = torch.linalg.inv(spread + least * torch.eye(3).to(spread))
    of_free = torch.linalg.inv(free.T @ weight @ free)
    return free @ (of_free @ free.T @ weight @ (values - fixed)) + fixed, free @ of_free @ free.T
