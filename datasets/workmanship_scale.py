"""How much a picture has changed, and the strength at which it changes by so much."""

from __future__ import annotations

from collections.abc import Callable
from math import acos, exp, inf, log, tan

from torch import Tensor

STEPS = 7  # tries at most
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
    return factor(float((a * b).sum()) / power, float(b.square().sum()) / power, target)


def factor(along: float, square: float, target: float) -> float:
    """`added` for what has the product `along` with the image and itself, `square`, in units of the image's power."""
    across = max(square - along**2, 0.0) ** 0.5
    tangent = tan(acos(1 - target))
    return tangent / (across - along * tangent) if across > along * tangent + 1e-6 else float("inf")


def strength(changed: Callable[[float], float], target: float, start: float = 1.0) -> tuple[float, float]:
    """The strength s at which ``changed(s)`` is about `target`, and that change: by the secant of the logarithms.

    At first the change is taken to grow with the square of the strength; between a strength that is too small and one
    that is too large the middle is tried where the secant leads astray. The nearest one tried where none is close.
    """
    tried: list[tuple[float, float]] = []
    s, power, low, high = log(start), 2.0, -inf, inf
    for _ in range(STEPS):
        off = log(max(changed(exp(s)), 1e-7) / target)
        if tried and s != tried[-1][0]:
            power = min(max((off - tried[-1][1]) / (s - tried[-1][0]), 0.7), 4.0)
        tried.append((s, off))
        if abs(off) < CLOSE:
            break
        low, high = (max(low, s), high) if off < 0 else (low, min(high, s))
        s -= max(-log(WIDEST), min(log(WIDEST), off / power))
        if not low < s < high or (abs(off) > 2 and high - low < inf):
            s = (low + high) / 2
    s, off = min(tried, key=lambda pair: abs(pair[1]))
    return exp(s), target * exp(off)


def _centred(image: Tensor) -> Tensor:
    flat = image.reshape(image.shape[0], -1)
    return flat - flat.mean(1, keepdim=True)
