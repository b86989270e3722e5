"""The geometric Akaike information criterion: which group explains the data best, as far as they are noisy.

A group of higher order leaves larger residuals and needs fewer numbers. Its criterion is the sum of squares J, plus
twice the number of its free parameters times the variance of the noise (Kanatani, Int. J. Comput. Vision 26, 1998, 171;
Moeck, Symmetry 10, 2018, 133). The noise is generalised: all that deviates from the least symmetric group that holds.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...hierarchy import GROUP_NAMES, group

ORDERS = tuple(group(name).order for name in GROUP_NAMES)


def generalised_noise(squares: Tensor, free: Tensor, data: Tensor, good: Tensor, noise: Tensor) -> Tensor:
    """Variance (B,) of a real datum, from the residual of the least symmetric good group besides p1.

    `squares`, `free` (B, G) as in `Residuals`, `good` (B, G) the groups that hold. At least `noise` (B,), the variance
    that was measured between cells, and just that where no group but p1 holds.
    """
    order = squares.new_tensor(ORDERS)
    rank = torch.where(good & (order > 1), order, torch.inf)
    first = rank == rank.amin(1, keepdim=True)
    left = torch.where(first & rank.isfinite(), squares, torch.inf)
    chosen = left.argmin(1, keepdim=True)
    lowest = left.gather(1, chosen)[:, 0]
    spare = (data - free.gather(1, chosen)[:, 0]).clamp_min(1.0)
    return torch.where(lowest.isfinite(), lowest / spare, 0.0).maximum(noise)


def akaike_weights(squares: Tensor, free: Tensor, noise: Tensor) -> Tensor:
    """Weights (B, G) that sum to one, from sums of squares and free parameters (B, G) and the noise (B,).

    exp(-(AIC - least) / 2) with AIC = J / noise + 2 free; 0 where J is NaN (Burnham and Anderson, Model Selection and
    Multimodel Inference, 2002, section 2.9).
    """
    criterion = squares / noise[:, None].clamp_min(1e-24) + 2 * free
    weights: Tensor = torch.where(criterion.isnan(), -torch.inf, -criterion / 2).softmax(1)
    return weights
