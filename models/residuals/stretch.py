"""How much a lattice must be stretched for a setting to fit it."""

from __future__ import annotations

import torch
from torch import Tensor

from .plan import Plan


def stretches(plan: Plan, basis: Tensor) -> Tensor:
    """The largest stretch, less 1, that makes every operation of each setting an isometry: (B, S).

    `basis` (B, 2, 2) is reduced. The lattice aimed at has the mean metric of the lattice's images under the setting's
    matrices, at constant area, which for small stretches is the nearest one; `straightening.metric.near` has the same.

    >>> from .plan import SETTINGS, plan
    >>> found = stretches(plan(torch.device("cpu")), torch.diag(torch.tensor([10.0, 11.0]))[None])[0]
    >>> {s.name: round(float(x), 3) for s, x in zip(SETTINGS, found) if s.name in ("pmm", "p4")}
    {'pmm': 0.0, 'p4': 0.049}
    """
    metric = basis.mT @ basis
    W = plan.matrices
    images = W.mT @ metric[:, None] @ W
    mean = torch.einsum("so,bsoij->bsij", plan.weight, images[:, plan.operation])
    change = torch.linalg.solve(metric[:, None].expand_as(mean), mean)
    half = change.diagonal(dim1=-2, dim2=-1).sum(-1) / 2
    squares = torch.linalg.det(change)
    largest = half + (half.square() - squares).clamp_min(0).sqrt()  # eigenvalue: the square of the stretch
    found: Tensor = (largest / squares.clamp_min(1e-12).sqrt()).sqrt() - 1
    return found
