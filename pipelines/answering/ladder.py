"""The ladder: which group and lattice an image has, by how much is forgiven; and the scores of all groups behind it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ...hierarchy import GROUP_NAMES, group
from ...models.evidence.groups import GROUPS, ORDERS, GroupScores
from ...models.ladder import TOLERANCES, Stretch
from .cells import conventional

ORDER = dict(zip(GROUP_NAMES, ORDERS, strict=True))


@dataclass(frozen=True)
class Rung:
    """A group that is the answer at all tolerances between `lower` and `upper`, both in [0, 1].

    `probability` is its highest there. A misfit is 1 minus the correlation of the averaged cell with its image. `a` and
    `b` in px and `gamma` in degrees are the conventional cell: that of a superlattice where the tolerance does not
    forgive what breaks the finer one.
    """

    group: str
    lower: float
    upper: float
    probability: float
    a: float
    b: float
    gamma: float

    @property
    def density(self) -> float:
        """Operations of the point group for each px^2 of the primitive cell."""
        return ORDER[self.group] / self.area

    @property
    def area(self) -> float:
        """Of the primitive cell in px^2."""
        whole = self.a * self.b * math.sin(math.radians(self.gamma))
        return whole / 2 if group(self.group).centred else whole

    def as_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        cell = {"a": self.a, "b": self.b, "gamma": self.gamma}
        return {"group": self.group, "from": self.lower, "to": self.upper, "probability": self.probability, **cell}


@dataclass(frozen=True)
class GroupScore:
    """How well a group holds about its best origin, as `GroupScores` has it; None where the metric is not its own.

    `misfit` is that of its worst operation, `rings` the mean correlations in rings of |q|, from coarse to fine.
    """

    group: str
    misfit: float | None
    mean: float | None
    rings: tuple[float, ...]
    strain: float


def rungs(stretches: Sequence[Stretch], labels: Sequence[str], scale: float = 1.0) -> tuple[Rung, ...]:
    """The ladder from stretches of tolerance with one lattice each; it begins at 0 and ends at 1.

    Who forgives more never finds less: a rung of fewer operations for the area than one before it is passed over. One
    px of the lattices is `scale` px of the image. Empty for labels that are no groups.
    """
    if not set(labels) <= set(GROUP_NAMES):
        return ()
    made: list[Rung] = []
    for stretch in stretches:
        for rung in _on_lattice(stretch, labels, scale):
            if made and rung.density < 0.9 * made[-1].density:
                made[-1] = replace(made[-1], upper=rung.upper)
            elif made and rung.group == made[-1].group and rung.area > 0.9 * made[-1].area:
                likeliest = max(made[-1].probability, rung.probability)
                made[-1] = replace(made[-1], upper=rung.upper, probability=likeliest)
            else:
                made.append(rung)
    return tuple(made)


def _on_lattice(stretch: Stretch, labels: Sequence[str], scale: float) -> Iterator[Rung]:
    """The rungs of one stretch, less than before or not.

    A border lies where two groups become equally likely, interpolated on a logarithmic scale.
    """
    where = torch.tensor(TOLERANCES, dtype=torch.float64).log()
    logp = stretch.log_probabilities.double()
    best = logp.argmax(1).tolist()
    made: list[tuple[int, float]] = [(best[0], 0.0)]
    for k in range(1, len(best)):
        old, new = made[-1][0], best[k]
        if new == old or ORDER[labels[new]] < ORDER[labels[old]]:
            continue
        ahead = (logp[k - 1 : k + 1, new] - logp[k - 1 : k + 1, old]).tolist()
        share = 0.0 if ahead[0] >= 0 else -ahead[0] / (ahead[1] - ahead[0])
        border = float((where[k - 1] + share * (where[k] - where[k - 1])).exp())
        made.append((new, max(border, made[-1][1])))
    ends = [lower for _, lower in made[1:]] + [1.0]
    p, basis = logp.exp(), stretch.basis.double().numpy() * scale
    for (label, start), end in zip(made, ends, strict=True):
        lower, upper = max(start, stretch.lower), min(end, stretch.upper)
        if upper > lower:
            here = [k for k, t in enumerate(TOLERANCES) if lower <= t <= upper] or [_nearest(lower)]
            cell = conventional(basis, labels[label])
            yield Rung(labels[label], lower, upper, float(p[here, label].max()), cell.a, cell.b, cell.gamma)


def _nearest(tolerance: float) -> int:
    return min(range(len(TOLERANCES)), key=lambda k: abs(TOLERANCES[k] - tolerance))


def in_words(ladder: Sequence[Rung]) -> str:
    """A ladder as a line.

    >>> cell = 8.1, 8.1, 90.0
    >>> in_words([Rung("pm", 0, 0.024, 0.9, *cell), Rung("p4m", 0.024, 1, 1, *cell)])
    'pm up to 0.024 · p4m from there'
    >>> in_words([Rung("p4", 0, 0.11, 0.9, 18.1, 18.1, 90.0), Rung("p4m", 0.11, 1, 0.99, *cell)])
    'p4 with a = 18.1 px up to 0.11 · p4m with a = 8.1 px from there'
    """
    if not ladder:
        return ""
    areas = [rung.area for rung in ladder]
    several = max(areas) > 1.5 * min(areas)
    names = [f"{rung.group} with a = {rung.a:.1f} px" if several else rung.group for rung in ladder]
    if len(ladder) == 1:
        return f"{names[0]} at every tolerance"
    steps = [f"{name} up to {rung.upper:.2g}" for name, rung in zip(names, ladder, strict=True)]
    return " · ".join([*steps[:-1], f"{names[-1]} from there"])


def scores_of(groups: GroupScores, index: int) -> tuple[GroupScore, ...]:
    """All 17 groups on image `index`, the best first; p1 holds always.

    Those that are alike to five digits are in the order of International Tables: what differs beyond is rounding.
    """
    made = [GroupScore("p1", 0.0, 1.0, (), 0.0)]
    lowest, mean, strain = (t[index].cpu().double().tolist() for t in (groups.lowest, groups.mean, groups.strain))
    for k, name in enumerate(GROUPS):
        known = lowest[k] == lowest[k]  # NaN where the lattice does not have the metric
        rings = tuple(groups.rings[index, k].cpu().double().tolist()) if known else ()
        made.append(
            GroupScore(name, max(0.0, 1 - lowest[k]) if known else None, mean[k] if known else None, rings, strain[k])
        )
    return tuple(sorted(made, key=lambda s: (True, s.strain) if s.misfit is None else (False, round(s.misfit, 5))))
