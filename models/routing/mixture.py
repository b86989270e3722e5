"""Routers that are fitted: a mix with a flat head, and a regression on all nodes' outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from .calibration import least

Mix = Literal["arithmetic", "geometric"]
MIXES: tuple[Mix, ...] = get_args(Mix)
FAINTEST = -14.0  # log-probabilities below are all the same to a regression: a millionth, whatever the rounding


def mix(one: Tensor, other: Tensor, weight: float, how: Mix) -> Tensor:
    """Mean of two log-distributions (B, L), `other` with this weight from 0 to 1.

    ``arithmetic`` averages probabilities: what either holds possible stays so. ``geometric`` averages their
    logarithms: what either rules out is out.
    """
    if weight in (0, 1):
        return other if weight else one
    if how == "geometric":
        return ((1 - weight) * one + weight * other).log_softmax(-1)
    shares = one.new_tensor([1 - weight, weight]).log()
    return torch.logaddexp(one + shares[0], other + shares[1])


def fit_mix(one: Tensor, other: Tensor, targets: Tensor) -> tuple[Mix, float]:
    """The kind of mix and its weight under which `targets` (N,) are likeliest. The loss is convex in the weight."""
    one, other, targets = one.cpu().double(), other.cpu().double(), targets.cpu()
    rows = torch.arange(len(targets))

    def loss(how: Mix, weight: float) -> float:
        mixed = mix(one, other, weight, how)
        return -float(mixed[rows, targets].clamp_min(-100.0).mean())

    found = {how: least(lambda w, how=how: loss(how, w), 0.0, 1.0) for how in MIXES}  # type: ignore[misc]
    how = min(found, key=lambda h: loss(h, found[h]))
    return how, found[how]


@dataclass(frozen=True)
class Stack:
    """A multinomial logistic regression: `weight` (L, F) and `bias` (L,) on the features of `features`."""

    weight: Tensor
    bias: Tensor

    def __call__(self, found: Tensor) -> Tensor:
        """(B, F) features to (B, L) log-probabilities. ValueError for another number of features."""
        if found.shape[-1] != self.weight.shape[1]:
            raise ValueError(
                f"the stack was fitted to {self.weight.shape[1]} outputs of nodes, here are {found.shape[-1]}: "
                "it belongs to other nodes"
            )
        return (found @ self.weight.to(found).T + self.bias.to(found)).log_softmax(-1)


def features(edges: Tensor, flat: Tensor | None) -> Tensor:
    """What a stack reads: all nodes' log-probabilities (B, E), and those of the flat head (B, L) where there is one."""
    return (edges if flat is None else torch.cat([edges, flat], -1)).clamp_min(FAINTEST)


@dataclass(frozen=True)
class Fitted:
    """What routers take besides a tree and the nodes' outputs; the defaults are those of a model not calibrated.

    `temperature` after routing; `how` and `weight` of the flat head in ``blend``: half each, geometric; `stack` the
    regression of ``stack``; `width` the number of paths that ``beam`` keeps.
    """

    temperature: float = 1.0
    how: Mix = "geometric"
    weight: float = 0.5
    stack: Stack | None = None
    width: int = 4
