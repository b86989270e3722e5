"""What the scores of whole groups add to the logits of nodes, whatever their networks say.

Choices of which all groups are ruled out are made next to impossible. At a tolerance the choice that leads to the group
whose measured misfits lie within it gains, the less the more noise hides them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..hierarchy import GROUP_NAMES, CompiledTree
from .evidence.groups import MOST, highest_within
from .evidence.representation import STRAIN, measured_misfits, quietness, ruled_out, strained
from .routing.router import FLAT

IMPOSSIBLE, TRUST = -1e4, 6.0  # what a choice loses that the scores rule out, and gains that they lead to


def groups_below(plan: CompiledTree) -> dict[str, Tensor]:
    """For each node of a tree, and the flat head, which of the 17 groups lie below each choice: (k, 17), 0 or 1.

    Empty for a tree whose labels are not wallpaper groups.
    """
    if not set(plan.labels) <= set(GROUP_NAMES):
        return {}
    labels = torch.eye(len(GROUP_NAMES))[[GROUP_NAMES.index(label) for label in plan.labels]]
    edges = torch.tensor(plan.membership).float().T @ labels
    ends = zip(plan.nodes, plan.offsets, plan.offsets[1:], strict=False)
    return {FLAT: labels, **{name: edges[first:last] for name, first, last in ends}}


def leanings(
    below: Mapping[str, Tensor],
    numbers: Tensor,
    tolerance: float | Sequence[float] | None = None,
    strain: float = STRAIN,
) -> dict[str, Tensor]:
    """What is added to the logits of each node in `below` (see `groups_below`): (B, k), for T tolerances (T, B, k).

    From `numbers` (B, EVIDENCE) on the device of `below`. A node of which all choices are ruled out gets nothing.
    Groups that change the lattice's metric by more than `strain` are ruled out.
    """
    denied, misfits = ruled_out(numbers), measured_misfits(numbers)
    if strain < STRAIN:
        off = strained(numbers, strain)
        denied, misfits = denied | off, misfits.masked_fill(off, MOST)
    possible = (~denied).float()
    left = {name: possible @ groups.T > 0 for name, groups in below.items()}
    made = {name: torch.where(some | ~some.any(1, keepdim=True), 0.0, IMPOSSIBLE) for name, some in left.items()}
    if tolerance is None or not made:
        return made
    asked = torch.as_tensor(tolerance, device=numbers.device)[..., None].expand(*np.shape(tolerance), len(numbers))
    within = highest_within(misfits.expand(*asked.shape, -1), asked)
    gained = TRUST * quietness(numbers)[:, None] * F.one_hot(within, len(GROUP_NAMES))
    return {name: lost + gained @ below[name].T for name, lost in made.items()}
