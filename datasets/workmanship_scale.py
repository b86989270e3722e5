"""How much a picture has changed, and the strength at which it changes by so much."""

from __future__ import annotations

from collections.abc import Callable
from math import acos, exp, log, tan

from torch import Tensor

STEPS = 5  # tries at most
CLOSE = 0.12  # of the logarithm of the change
WIDEST = 6.0  # by which factor the strength changes at most from try to try


def change(before: Tensor, after: Tensor) -> float:
    """1 minus the correlation of two images (3, ...), colours together, the mean of each channel left out."""
    a, b = _centred(before), _centred(after)
    return 1 - float((a * b).sum() / (a.square().sum() * b.square().sum()).sqrt().clamp_min(1e-9))


def added(image: Tensor, more: Tensor, target: float) -> float:
    """The factor with which `more` (3, ...) added to `image` changes it by `target`; infinite where none does.

    The sum makes an angle with the image whose tangent is known: ``cos(angle) = 1 - target``.
    """
    a, b = _centred(image), _centred(more)
    power = float(a.square().sum().clamp_min(1e-6 * a.numel()))
    along = float((a * b).sum()) / power
    across = max(float(b.square().sum()) / power - along**2, 0.0) ** 0.5
    tangent = tan(acos(1 - target))
    return tangent / (across - along * tangent) if across > along * tangent + 1e-6 else float("inf")


def strength(changed: Callable[[float], float], target: float, start: float = 1.0) -> tuple[float, float]:
    """The strength s at which ``changed(s)`` is about `target`, and that change: by the secant of the logarithms.

    The first takes the change to grow with the square of the strength. The nearest one tried where none is close.
    """
    tried: list[tuple[float, float]] = []
    s, power = log(start), 2.0
    for _ in range(STEPS):
        r = max(changed(exp(s)), 1e-7)
        tried.append((s, log(r / target)))
        if abs(tried[-1][1]) < CLOSE:
            break
        if len(tried) > 1:
            (s0, r0), (s1, r1) = tried[-2:]
            power = min(max((r1 - r0) / (s1 - s0), 0.7), 4.0)
        step = -tried[-1][1] / power
        s += max(-log(WIDEST), min(log(WIDEST), step))
    s, off = min(tried, key=lambda pair: abs(pair[1]))
    return exp(s), target * exp(off)


def _centred(image: Tensor) -> Tensor:
    flat = image.reshape(image.shape[0], -1)
    return flat - flat.mean(1, keepdim=True)
