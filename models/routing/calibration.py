"""Temperatures: log-probabilities divided by one number, so that they match how often a classifier is right.

Guo et al., "On Calibration of Modern Neural Networks", ICML 2017. The order of the choices stays, and with it the
winner.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log

from torch import Tensor

COLDEST, HOTTEST = 0.05, 20.0


def temper(logp: Tensor, temperature: float) -> Tensor:
    """Log-probabilities (..., k) at a temperature: below 1 more confident, above 1 less confident; 1 changes nothing.

    >>> import torch
    >>> temper(torch.tensor([0.9, 0.1]).log(), 2.0).exp()
    tensor([0.7500, 0.2500])
    """
    return logp if temperature == 1 else (logp / temperature).log_softmax(-1)


def fit_temperature(logp: Tensor, targets: Tensor, prior: float = 1.0) -> float:
    """The temperature that makes the mean negative log-likelihood of `targets` (N,) under `logp` (N, k) least.

    Convex in b = 1 / temperature. `prior` times b - 1 - log(b), a gamma prior with its mode at 1, is added to the
    sum over images: without it a classifier without an error among a few images would become certain. 1 without
    images; between `COLDEST` and `HOTTEST`.
    """
    if not len(targets):
        return 1.0
    logits, targets = logp.cpu().double().clamp_min(-1e4), targets.cpu()
    known, weight = logits.gather(1, targets[:, None]).mean(), prior / len(targets)

    def loss(log_inverse: float) -> float:
        inverse = exp(log_inverse)
        loss = (inverse * logits).logsumexp(1).mean() - inverse * known
        return float(loss + weight * (inverse - 1 - log_inverse))

    return exp(-least(loss, -log(HOTTEST), -log(COLDEST)))


def least(loss: Callable[[float], float], low: float, high: float) -> float:
    """Where a function with one minimum between `low` and `high` has it, to 1e-7."""
    from scipy.optimize import minimize_scalar  # slow to import, and only fits need it

    return float(minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-7}).x)
