"""How well each of the 17 groups holds as a whole: the correlations of its operations about one common origin.

Operations that hold one by one need not hold together: three mirrors about three points are no group. For every
setting of a group on the lattice the origin is sought at which its operations correlate best in the mean, and the
setting with the best mean is the group's. What is left of a perfect correlation there is the group's misfit, in rings
of |q| too (Fourier ring correlation), which tells whether the coarse or the fine detail deviates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ...hierarchy import GROUP_NAMES, group
from ...hierarchy.operations import IDENTITY, Matrix, Operation
from ...hierarchy.placements import Setting, settings
from .maps import reflection_weights, upsampled
from .structure import GRID, TRUSTED, Structure, harmonics

GROUPS = tuple(name for name in GROUP_NAMES if name != "p1")  # which always holds
STRAIN = 0.15  # a setting whose operations change the metric by more is not tested
FINE = 2 * GRID  # origins tried along each axis, before Newton's steps
EDGES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the rings, relative to the largest trusted |q|
FRC = len(EDGES) - 1
STEPS = 3
MOST = 2.0  # the largest misfit: correlations are not below -1


@dataclass(frozen=True)
class GroupScores:
    """Scores of a batch, G groups as in `GROUPS`, R rings between `EDGES`.

    `lowest` and `mean` (B, G): correlations of the group's operations at the best common origin, in [-1, 1], weighted
    by the share of signal in each ring; NaN where the lattice does not have the group's metric. `rings` (B, G, R): the
    mean correlation in each ring, every reflection alike. `strain` (B, G): how far the operations change the lattice's
    metric, relative to the cell's area. `noise` (B, R): share of noise in the power of each ring, in [0, 1].
    """

    lowest: Tensor
    mean: Tensor
    rings: Tensor
    strain: Tensor
    noise: Tensor

    @property
    def misfits(self) -> Tensor:
        """(B, G) ``1 - lowest``, infinite where the metric is not the group's."""
        return torch.where(self.lowest.isnan(), torch.inf, 1 - self.lowest).clamp_min(0)


@dataclass(frozen=True)
class _Plan:
    """All S settings of all groups: together T operations in a row, over K distinct matrices.

    An operation and its inverse correlate alike, so one of them stands for both. `group` (S,); operations of setting s
    are `first[s]` to `first[s + 1]` in `operation` (T,) index of the matrix, `shift` (T, 2) the translation, `weight`
    (T,) the share of the setting's operations, `at` (T, FINE**2) the translation about each origin, as an index.
    `matrices` (K, 2, 2); `to` (K, N) and `reachable` (K, N) what they do to N = GRID**2 coefficients.
    """

    group: Tensor
    first: Tensor
    operation: Tensor
    shift: Tensor
    weight: Tensor
    at: Tensor
    matrices: Tensor
    to: Tensor
    reachable: Tensor


@lru_cache(maxsize=4)
@torch.inference_mode(False)
def _plan(device: torch.device) -> _Plan:
    made: list[Setting] = [s for name in GROUPS for s in settings(name)]
    chosen = [_one_of_each_pair(s.operations) for s in made]
    every = [(op, count / (len(s.operations) - 1)) for s, some in zip(made, chosen, strict=True) for op, count in some]
    matrices = list(dict.fromkeys(op.W for op, _ in every))
    turns = torch.tensor(matrices)
    operation = torch.tensor([matrices.index(op.W) for op, _ in every])
    shift = torch.tensor([[float(t) for t in op.w] for op, _ in every])
    ticks, one = torch.arange(FINE), torch.eye(2, dtype=torch.long)
    origins = torch.stack(torch.meshgrid(ticks, ticks, indexing="ij"), -1).reshape(-1, 2)
    moved = (one - turns[operation]) @ origins.T + (FINE * shift).round().long()[..., None]
    moved = moved % FINE
    hk = harmonics(torch.device("cpu")).long().reshape(-1, 2)
    targets = hk @ turns
    first = torch.tensor([0, *(len(some) for some in chosen)]).cumsum(0)
    parts = (
        torch.tensor([GROUPS.index(s.name) for s in made]), first, operation, shift,
        torch.tensor([w for _, w in every]), moved[:, 0] * FINE + moved[:, 1], turns.float(),
        (targets % GRID) @ torch.tensor([GRID, 1]), (targets.abs() < GRID // 2).all(-1),
    )  # fmt: skip
    return _Plan(*(x.to(device) for x in parts))


def _one_of_each_pair(operations: tuple[Operation, ...]) -> list[tuple[Operation, int]]:
    """The operations but for the identity, one for itself and its inverse, and how many it stands for."""
    made: dict[Matrix, tuple[Operation, int]] = {}
    for op in operations:
        back = np.rint(np.linalg.inv(np.array(op.W))).astype(int)
        inverse = ((int(back[0, 0]), int(back[0, 1])), (int(back[1, 0]), int(back[1, 1])))
        if inverse in made:
            made[inverse] = (made[inverse][0], 2)
        elif op.W != IDENTITY:
            made[op.W] = (op, 1)
    return list(made.values())


ORDERS = tuple(len({op.W for op in group(name).operations}) for name in GROUP_NAMES)


def all_misfits(scores: GroupScores) -> Tensor:
    """(B, 17) misfits in the order of `GROUP_NAMES`, at most `MOST`: p1's is 0."""
    return torch.cat([torch.zeros_like(scores.lowest[:, :1]), scores.misfits.clamp_max(MOST)], 1)


def highest_within(misfits: Tensor, tolerance: Tensor) -> Tensor:
    """The group at a tolerance: the one with most operations among those whose misfit is at most that.

    Misfits (..., 17) as of `all_misfits` and tolerances (...) to indices (...) into `GROUP_NAMES`; of groups of one
    order the one that fits best.

    >>> found = torch.full((17,), 2.0)
    >>> found[[0, 1, 9, 10]] = torch.tensor([0.0, 0.016, 0.03, 0.05])  # p1, p2, p4, p4m
    >>> [GROUP_NAMES[int(highest_within(found, torch.tensor(t)))] for t in (0.01, 0.02, 0.04, 0.1)]
    ['p1', 'p2', 'p4', 'p4m']
    """
    orders = misfits.new_tensor(ORDERS)
    merit = torch.where(misfits <= tolerance[..., None], orders - misfits.clamp_max(MOST) / (2 * MOST), -torch.inf)
    best: Tensor = merit.argmax(-1)
    return best


def group_scores(structure: Structure, basis: Tensor) -> GroupScores:
    """Scores of averaged cells (B, C, GRID, GRID) on the reduced lattices `basis` (B, 2, 2)."""
    plan, B = _plan(basis.device), len(basis)
    spectrum, cross, power, level = _spectra(structure, plan)
    image, setting, strain = _possible(plan, basis)
    pair, op = _expanded(plan, setting)
    which, weight = image[pair] * len(plan.matrices) + plan.operation[op], plan.weight[op]
    span = torch.eye(2, device=basis.device) - plan.matrices[plan.operation[op]]

    def mean(x: Tensor) -> Tensor:
        """Of the operations of each pair, (L, ...) to (P, ...)."""
        shaped = weight.reshape(-1, *[1] * (x.ndim - 1))
        return x.new_zeros(len(image), *x.shape[1:]).index_add_(0, pair, x * shaped)

    surface = upsampled(spectrum.reshape(B, -1, GRID, GRID), FINE).flatten()
    start = mean(surface.take(which[:, None] * FINE**2 + plan.at[op])).argmax(-1)
    table = _centred(spectrum).flatten(0, 1)[which]

    def about(origin: Tensor) -> Tensor:
        """Translations (L, 2) of the operations about the origins (P, 2) of their pairs."""
        return (span @ origin[pair, :, None])[..., 0] + plan.shift[op]

    origin = torch.stack([start // FINE, start % FINE], -1) / FINE
    origin = _climbed(lambda u: _means(table, span, about(u), mean), origin)
    values = _at(table, about(origin))[0]
    merit = mean(values)
    # one pair, the last of equals, for every image and group that have any
    slot = image * len(GROUPS) + plan.group[setting]
    best = merit.new_full((B * len(GROUPS),), -torch.inf).scatter_reduce(0, slot, merit, "amax")
    chosen = slot.new_full((B * len(GROUPS),), -1)
    wins = (merit >= best[slot]).nonzero().flatten()
    chosen[slot[wins]] = wins
    lowest = values.new_full((len(image),), torch.inf).scatter_reduce(0, pair, values, "amin")
    kept = (chosen[slot[pair]] == pair).nonzero().flatten()
    rings = merit.new_zeros(len(image), FRC)
    each = _rings(cross, power, structure.radius, image[pair[kept]], plan, op[kept], about(origin)[kept])
    rings.index_add_(0, pair[kept], each * weight[kept, None])

    def shaped(x: Tensor) -> Tensor:
        there = chosen.reshape(-1, *[1] * (x.ndim - 1)) >= 0
        found = torch.where(there, x[chosen.clamp_min(0)], torch.nan)
        return found.reshape(B, len(GROUPS), *x.shape[1:])

    least = strain.new_full((B, len(GROUPS)), torch.inf)
    least = least.scatter_reduce(1, plan.group.expand(B, -1), strain, "amin")
    return GroupScores(shaped(lowest), shaped(merit), shaped(rings), least, _noise(structure.radius, power, level))


def _expanded(plan: _Plan, setting: Tensor) -> tuple[Tensor, Tensor]:
    """All operations of settings (P,): which of the P each belongs to, and which of the T it is, both (L,)."""
    count = plan.first[setting + 1] - plan.first[setting]
    pair = torch.arange(len(setting), device=setting.device).repeat_interleave(count)
    before = count.cumsum(0) - count
    return pair, torch.arange(len(pair), device=pair.device) - before[pair] + plan.first[setting][pair]


def _spectra(structure: Structure, plan: _Plan) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """For every matrix what the correlation is summed from, (B, K, N): normalised, and as it is; power and noise."""
    F = structure.coefficients
    weights, squares, level = reflection_weights(structure)
    flat, power, weight = F.flatten(2), squares.flatten(1), weights[:, -1].flatten(1)
    to = plan.to.flatten()

    def moved(t: Tensor) -> Tensor:
        return t.index_select(-1, to).reshape(*t.shape[:-1], len(plan.to), -1)

    cross = (flat[:, :, None] * moved(flat).conj()).sum(1)
    shared = weight[:, None] * moved(weight) * plan.reachable
    own, other = (shared * power[:, None]).sum(-1), (shared * moved(power)).sum(-1)
    total = (weight.square() * power).sum(-1).clamp_min(1e-12)
    norm = torch.sqrt((own * other).clamp_min(1e-24)).maximum(0.5 * total[:, None])
    return shared / norm[..., None] * cross, cross, power, level


def _possible(plan: _Plan, basis: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs (P,) of image and setting whose strain is below `STRAIN`, and all strains (B, S)."""
    metric = (basis.mT @ basis)[:, None]
    change = (plan.matrices.mT @ metric @ plan.matrices - metric).abs().amax((-2, -1))
    each = change / torch.linalg.det(basis).abs().clamp_min(1e-6)[:, None]
    owner, _ = _expanded(plan, torch.arange(len(plan.group), device=basis.device))
    strain = each.new_zeros(len(basis), len(plan.group))
    strain = strain.scatter_reduce(1, owner.expand(len(basis), -1), each[:, plan.operation], "amax")
    image, setting = (strain < STRAIN).nonzero().unbind(-1)
    return image, setting, strain


def _centred(spectrum: Tensor) -> Tensor:
    """(..., N) in FFT order to (..., 2 n + 1, 2 n + 1), n = TRUSTED, indices rising: beyond it all weights are zero."""
    square = spectrum.reshape(*spectrum.shape[:-1], GRID, GRID).roll((TRUSTED, TRUSTED), (-2, -1))
    return square[..., : 2 * TRUSTED + 1, : 2 * TRUSTED + 1]


def _at(table: Tensor, shift: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Correlations (L,) at translations `shift` (L, 2), with slopes (L, 2) and bends (L, 2, 2)."""
    h = 2j * torch.pi * torch.arange(-TRUSTED, TRUSTED + 1, device=shift.device)
    waves = torch.stack([torch.ones_like(h), h, h.square()]) * (h * shift[..., None]).exp()[..., None, :]
    sums = (waves[:, 0] @ table @ waves[:, 1].mT).real
    slope = torch.stack([sums[:, 1, 0], sums[:, 0, 1]], -1)
    bend = torch.stack([sums[:, 2, 0], sums[:, 1, 1], sums[:, 1, 1], sums[:, 0, 2]], -1)
    return sums[:, 0, 0], slope, bend.reshape(-1, 2, 2)


def _means(
    table: Tensor, span: Tensor, shift: Tensor, mean: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean correlation of each pair, its slope and bend where the origin moves: (P,), (P, 2), (P, 2, 2)."""
    value, slope, bend = _at(table, shift)
    return mean(value), mean((span.mT @ slope[..., None])[..., 0]), mean(span.mT @ bend @ span)


def _climbed(means: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]], origin: Tensor) -> Tensor:
    """Origins (P, 2) after Newton's steps on the mean correlation; along free axes nothing moves."""
    one = torch.eye(2, device=origin.device)
    best, highest = origin, torch.full_like(origin[:, 0], -torch.inf)
    for _ in range(STEPS + 1):
        value, slope, bend = means(origin)
        best = torch.where((value > highest)[:, None], origin, best)
        highest = torch.maximum(value, highest)
        bend = bend - (1e-3 * bend.abs().amax((-2, -1)).clamp_min(1e-6))[:, None, None] * one
        step = -torch.linalg.solve(bend, slope)
        # where the mean does not bend down the step would lead down: stay
        step = torch.where(((step * slope).sum(-1) > 0)[:, None], step, 0.0)
        origin = origin + step * (0.5 / FINE / step.abs().amax(-1, keepdim=True).clamp_min(1e-9)).clamp_max(1.0)
    return best


def _rings(
    cross: Tensor, power: Tensor, radius: Tensor, image: Tensor, plan: _Plan, op: Tensor, shift: Tensor
) -> Tensor:
    """Correlation of L operations with translations `shift` (L, 2) on images (L,) in each ring: (L, FRC)."""
    operation = plan.operation[op]
    h = 2j * torch.pi * torch.fft.fftfreq(GRID, 1 / GRID, device=shift.device)
    waves = (h * shift[..., None]).exp()
    found = (cross[image, operation] * (waves[:, 0, :, None] * waves[:, 1, None, :]).flatten(1)).real
    inside = _ring(radius)[image] * plan.reachable[operation][:, None]
    own = power[image]
    sums = inside @ torch.stack([found, own, own.gather(1, plan.to[operation])], -1)
    return sums[..., 0] / (sums[..., 1] * sums[..., 2]).clamp_min(1e-24).sqrt()


def _ring(radius: Tensor) -> Tensor:
    """Which coefficients each ring holds: (B, FRC, N), 0 or 1."""
    edges = radius.new_tensor(EDGES)
    r = radius.flatten(1)[:, None]
    return ((r > edges[:-1, None]) & (r <= edges[1:, None])).float()


def _noise(radius: Tensor, power: Tensor, level: Tensor) -> Tensor:
    ring = _ring(radius)
    spoilt, total = ((ring @ t.flatten(1)[..., None])[..., 0] for t in (level, power))
    return (spoilt / total.clamp_min(1e-12)).clamp(0, 1)
