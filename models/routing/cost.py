"""What a wrong answer costs: missing a symmetry is milder than inventing one."""

from __future__ import annotations

from functools import cache
from math import inf, log2

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...arrays import finest
from ...hierarchy import GROUP_NAMES, CompiledTree, is_subgroup, maximal_subgroups

INVENTED = 2.0  # times the cost of missing the same symmetry


def cheapest(logp: Tensor, cost: Tensor) -> Tensor:
    """The label of least expected cost for every row of `logp` (B, L): (B,). ``cost[truth, answer]``, (L, L)."""
    precise = finest(logp.device)
    return (logp.to(precise).exp() @ cost.to(precise)).argmin(1)


def cost_matrix(plan: CompiledTree) -> NDArray[np.float64]:
    """``cost[truth, answer]`` (L, L) of a tree's labels.

    `group_costs` where all are wallpaper groups, else the number of steps in the tree from one to the other.
    """
    if set(plan.labels) <= set(GROUP_NAMES):
        order = [GROUP_NAMES.index(label) for label in plan.labels]
        return group_costs()[np.ix_(order, order)]
    paths = plan.membership
    steps: NDArray[np.float64] = (paths[:, None] ^ paths[None]).sum(-1).astype(np.float64)
    return steps


@cache
def group_costs() -> NDArray[np.float64]:
    """Costs between the 17 groups in their usual order, in bits: the cheapest way from the truth to the answer.

    A step down to a maximal subgroup of index i misses symmetry and costs log2(i); a step up to a minimal
    supergroup invents it and costs `INVENTED` times as much. Unrelated groups are reached by missing some and
    inventing other. Types that hold each other as subgroups, as pm and cm do, are a step up from one another in
    both directions: to predict one for the other never counts as cautious.
    """
    count = len(GROUP_NAMES)
    cost = np.full((count, count), inf)
    for i, whole in enumerate(GROUP_NAMES):
        for sub in maximal_subgroups(whole):
            j, bits = GROUP_NAMES.index(sub.name), log2(sub.index)
            mutual = is_subgroup(whole, sub.name)
            cost[i, j] = min(cost[i, j], INVENTED * bits if mutual else bits)
            cost[j, i] = min(cost[j, i], INVENTED * bits)
    np.fill_diagonal(cost, 0)
    for k in range(count):
        cost = np.minimum(cost, cost[:, k, None] + cost[None, k])
    cost.flags.writeable = False
    return cost
