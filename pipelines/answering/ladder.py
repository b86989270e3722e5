"""The ladder: which group an image has, by how much deviation is forgiven; and the scores of all groups behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...hierarchy import GROUP_NAMES
from ...models.evidence.groups import GROUPS, ORDERS, GroupScores

ORDER = dict(zip(GROUP_NAMES, ORDERS, strict=True))


@dataclass(frozen=True)
class Rung:
    """A group that is the answer at all tolerances between `lower` and `upper`, both in [0, 1].

    `probability` is its highest there. A misfit is 1 minus the correlation of the averaged cell with its image.
    """

    group: str
    lower: float
    upper: float
    probability: float

    def as_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return {"group": self.group, "from": self.lower, "to": self.upper, "probability": self.probability}


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


def rungs(tolerances: Sequence[float], logp: Tensor, labels: Sequence[str]) -> tuple[Rung, ...]:
    """The ladder from log-probabilities (T, L) at T rising tolerances; it begins at 0 and ends at 1.

    A border lies where two groups become equally likely, interpolated on a logarithmic scale. Who forgives more never
    finds less: a group of fewer operations than one before it is passed over. Empty for labels that are no groups.
    """
    if not set(labels) <= set(GROUP_NAMES):
        return ()
    where = torch.tensor(tolerances, dtype=torch.float64).log()
    logp = logp.double()
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
    p = logp.exp()
    found = []
    for (label, lower), upper in zip(made, ends, strict=True):
        here = [k for k, t in enumerate(tolerances) if lower <= t <= upper] or [0]
        found.append(Rung(labels[label], lower, upper, float(p[here, label].max())))
    return tuple(found)


def in_words(ladder: Sequence[Rung]) -> str:
    """A ladder as a line.

    >>> in_words([Rung("p1", 0, 0.015, 0.9), Rung("pm", 0.015, 0.024, 0.9), Rung("p4m", 0.024, 1, 0.99)])
    'p1 up to 0.015 · pm up to 0.024 · p4m from there'
    """
    if not ladder:
        return ""
    if len(ladder) == 1:
        return f"{ladder[0].group} at every tolerance"
    return " · ".join(
        [*(f"{rung.group} up to {rung.upper:.2g}" for rung in ladder[:-1]), f"{ladder[-1].group} from there"]
    )


def scores_of(groups: GroupScores, index: int) -> tuple[GroupScore, ...]:
    """All 17 groups on image `index`, the best first; p1 holds always."""
    made = [GroupScore("p1", 0.0, 1.0, (), 0.0)]
    lowest, mean, strain = (t[index].cpu().double().tolist() for t in (groups.lowest, groups.mean, groups.strain))
    for k, name in enumerate(GROUPS):
        known = lowest[k] == lowest[k]  # NaN where the lattice does not have the metric
        rings = tuple(groups.rings[index, k].cpu().double().tolist()) if known else ()
        made.append(
            GroupScore(name, max(0.0, 1 - lowest[k]) if known else None, mean[k] if known else None, rings, strain[k])
        )
    return tuple(sorted(made, key=lambda s: (s.misfit is None, s.misfit or 0.0, s.strain)))
