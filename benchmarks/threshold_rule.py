"""The group by a threshold on the peaks of the symmetry maps, without any training: what learning has to beat.

An operation holds when 1 - r, r its highest correlation, is below one number that serves all of them. The tree of
International Tables does the rest. This is a row in tables, not part of the classifier.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from hier.models.evidence.maps import FLOOR, MAPS, WEIGHTINGS
from torch import Tensor

NAMES = [name for name, _, _ in MAPS]
RESIDUALS = (0.3, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03, 0.02, 0.01)
ALONG, ACROSS = ("mirror a+b", "mirror along a", "mirror along b"), ("mirror a-b", "mirror across a", "mirror across b")
RHOMBIC = (*ALONG, *ACROSS)


def residuals(numbers: Tensor, weighting: str) -> Tensor:
    """1 - r of every operation (N, M), 1 where it cannot be, from the numbers of `Evidence`."""
    peaks = numbers[:, : len(MAPS) * len(WEIGHTINGS)].unflatten(1, (len(MAPS), -1))[..., WEIGHTINGS.index(weighting)]
    return torch.where(peaks > -0.4, 10 ** (-3 * peaks) - FLOOR, 1.0)


def groups(found: Tensor, threshold: float) -> list[str]:
    """The group of every row of `residuals`."""
    return [_group({name: float(r) for name, r in zip(NAMES, row, strict=True)}, threshold) for row in found]


def _group(r: dict[str, float], threshold: float) -> str:
    def holds(*names: str) -> bool:
        return min(r[name] for name in names) < threshold

    def best(*names: str) -> float:
        return min(r[name] for name in names)

    order = next((n for n in (6, 4, 3, 2) if r[f"{n}-fold"] < threshold), 1)
    lines = {k: min((r[f"{kind} {k}"], kind[0]) for kind in ("mirror", "glide")) for k in ("a", "b")}
    match order:
        case 6:
            return "p6m" if holds(*RHOMBIC) else "p6"
        case 4:
            if not holds(*RHOMBIC, "mirror a", "mirror b", "glide a", "glide b"):
                return "p4"
            return "p4m" if best("mirror a", "mirror b") < best("glide a", "glide b") else "p4g"
        case 3:
            if not holds(*RHOMBIC):
                return "p3"
            return "p31m" if best(*ALONG) < best(*ACROSS) else "p3m1"
    straight = min(lines["a"][0], lines["b"][0])
    if min(straight, best(*RHOMBIC)) >= threshold:
        return "p2" if order == 2 else "p1"
    if best(*RHOMBIC) < straight:
        return "cmm" if order == 2 else "cm"
    if order == 2:
        return {"mm": "pmm", "mg": "pmg", "gm": "pmg", "gg": "pgg"}[lines["a"][1] + lines["b"][1]]
    return "pm" if min(lines.values())[1] == "m" else "pg"


def choose(numbers: Tensor, labels: Sequence[str]) -> tuple[str, float]:
    """The weighting and the threshold that are right most often."""

    def right(choice: tuple[str, float]) -> int:
        found = groups(residuals(numbers, choice[0]), choice[1])
        return sum(a == b for a, b in zip(found, labels, strict=True))

    return max(((w, t) for w in WEIGHTINGS for t in RESIDUALS), key=right)
