"""A region of an image with its answer: where it is, its cell on the image, what it shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...models.evidence.crops import Box
from ...models.regions.finding import Region
from ...models.regions.shapes import Ring
from .results import Prediction
from .symmetry import Analysis


@dataclass(frozen=True)
class RegionFound:
    """A part of a view in which one lattice repeats, in px of the image, and the `answer` for it.

    `share` of the view, `rectangle` about it (left, top, width and height), its `outline` and those of the `holes` in
    it as points (x, y), how many `cells` it has, and their usual correlation with each other, `agreement`. `cell` are
    the corners of the cell, origin first; none unless symmetry was asked for. The answer is for the largest upright
    rectangle in the region, `answer.region`; where that was straightened, its lattice and symmetry are in px of the
    straight rectangle.
    """

    share: float
    rectangle: Box
    outline: Ring
    holes: tuple[Ring, ...]
    cells: float
    agreement: float
    cell: Ring
    answer: Prediction

    @classmethod
    def of(cls, region: Region, answer: Prediction, analysis: Analysis) -> RegionFound:
        """What was found in `region`."""
        return cls(
            region.share, region.bounds, region.outline, region.holes, region.cells, region.agreement,
            _corners(answer, analysis), answer,
        )  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON: where the region is, and all of the answer but the file."""
        where = ("share", "rectangle", "outline", "holes", "cells", "agreement", "cell")
        answer = {k: v for k, v in self.answer.as_dict().items() if k not in ("file", "regions")}
        return {k: getattr(self, k) for k in where} | answer


def _corners(answer: Prediction, analysis: Analysis) -> Ring:
    drawn = answer.symmetry or answer.tried
    if drawn is None:
        return ()
    a, b = np.array(drawn.a), np.array(drawn.b)
    at = np.array(drawn.origin) + np.stack([0 * a, a, a + b, b])
    if analysis.bent is not None and answer.region is not None:
        at = analysis.bent.original(torch.from_numpy(at).float()).double().numpy() + np.array(answer.region[:2])
    return tuple((float(x), float(y)) for x, y in at)
