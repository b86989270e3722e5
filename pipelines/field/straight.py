"""Windows cut straight out of a bent picture, where that makes one domain of what a map would split."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ...models.classifier import Classifier
from ...models.straightening.families import PERSPECTIVE, STRAIGHT
from ...models.straightening.fields import FOCAL, Field
from ...models.straightening.metric import upright
from ...models.straightening.straighten import straightened
from ..reading.picture import Picture
from ..straightening.names import MapMode as Mode
from .domains import Domains, domains
from .measure import FieldMap, map_field
from .plot import shrunk

SIDE = 400  # px: longer side of the copy in which a field is looked for
NARROWEST = 64  # px: shorter side of one that shows enough
AGREE = 0.6  # least agreement of the cells under a field that is believed
COARSE = 8  # px between the points at which a field is inverted; in between it is interpolated
EDGE = 3  # px beyond, for interpolation
STEP = 1e-3  # half sides of the picture, over which a field's slope is taken
LOWER = 0.02  # share of the places by which patterns may be missed under a field


@dataclass(frozen=True)
class StraightWindows:
    """Cuts windows out of an `array` (H, W) or (H, W, C) as `field` makes them straight about their middles.

    A tilted plane is seen from above, as far as the `focal` length, relative to the longer side, is right.
    """

    array: Any
    field: Field
    focal: float = FOCAL

    @cached_property
    def linear(self) -> Tensor:
        """What is applied after the field: (2, 2)."""
        if self.field.family is not PERSPECTIVE:
            return torch.eye(2)
        return upright(self.field.parameters, math.tan(math.radians(self.field.tilt(self.focal)[0])))

    def __call__(self, left: int, top: int, size: int) -> NDArray[Any]:
        """The straight window of `size` px about the middle of the one that begins at `left` and `top`.

        Where it would reach beyond the picture it is moved inwards, and continued by reflection if that is not enough.
        """
        height, width = self.array.shape[:2]
        unit, half = self.field.unit, torch.tensor([(width - 1) / 2, (height - 1) / 2])
        middle = torch.tensor([left + (size - 1) / 2, top + (size - 1) / 2])
        ticks = torch.linspace(-(size - 1) / 2, (size - 1) / 2, max(2, round(size / COARSE)))
        offsets = torch.stack(torch.meshgrid(ticks, ticks, indexing="xy"), -1) / unit @ torch.linalg.inv(self.linear).T
        for _ in range(3):
            straight = self.field.family.apply((middle - half) / unit, self.field.parameters)
            at = self.field.family.inverse(straight + offsets, self.field.parameters) * unit + half
            low, high = at.amin((0, 1)), at.amax((0, 1))
            middle = middle + (-low).clamp_min(0) - (high - 2 * half).clamp_min(0)
        at = F.interpolate(at.permute(2, 0, 1)[None], (size, size), mode="bilinear", align_corners=True)[0]
        return self._read(at.permute(1, 2, 0))

    def _read(self, at: Tensor) -> NDArray[Any]:
        """The picture at points (h, w, 2) px."""
        height, width = self.array.shape[:2]
        left, top = (int(v) for v in (at.amin((0, 1)).floor() - EDGE).clamp_min(0).tolist())
        right, bottom = (int(v) for v in (at.amax((0, 1)).ceil() + EDGE + 1).tolist())
        left, top = min(left, width - 2), min(top, height - 2)
        part = np.asarray(self.array[top : max(bottom, top + 2), left : max(right, left + 2)])
        pixels = torch.from_numpy(part.astype(np.float32)).reshape(*part.shape[:2], -1).permute(2, 0, 1)
        h, w = part.shape[:2]
        where = 2 * (at - at.new_tensor([left, top]) + 0.5) / at.new_tensor([w, h]) - 1
        seen = F.grid_sample(pixels[None], where[None], mode="bicubic", padding_mode="reflection", align_corners=False)
        made = seen[0].permute(1, 2, 0).numpy().reshape(*at.shape[:2], *part.shape[2:])
        if np.isfinite(made).all():
            made = made.clip(part.min(), part.max())
            made = made if part.dtype.kind == "f" else np.rint(made).astype(part.dtype)
        return made

    def slopes(self, y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
        """What a step in the straight plane is in the picture, about places `y` (R,) and `x` (C,) px: (R, C, 2, 2)."""
        height, width = self.array.shape[:2]
        px = np.stack(np.meshgrid(x - (width - 1) / 2, y - (height - 1) / 2), -1) / self.field.unit
        at, c = torch.from_numpy(px).double(), self.field.parameters.double()
        columns = [
            (self.field.family.apply(at + e, c) - self.field.family.apply(at - e, c)) / (2 * STEP)
            for e in STEP * torch.eye(2, dtype=torch.float64)
        ]
        found: NDArray[np.float64] = torch.linalg.inv(self.linear.double() @ torch.stack(columns, -1)).numpy()
        return found


@torch.inference_mode()
def field_of(array: Any) -> Field | None:
    """The field that makes a picture (H, W) or (H, W, C) one straight lattice; None if it is straight, or has none.

    It is found on a copy of at most `SIDE` px, so that cells of a few px there are not followed.
    """
    grey, scale = shrunk(array, SIDE)
    if min(grey.shape) < NARROWEST or not grey.std() > 0:
        return None
    found = straightened(torch.from_numpy(grey).float()[None] / 255)
    if found is None or found.family is STRAIGHT or found.within is not None or found.agreement < AGREE:
        return None
    return replace(
        found, parameters=found.parameters.cpu(), error=found.error * scale, error_se=found.error_se * scale,
        width=array.shape[1], height=array.shape[0],
    )  # fmt: skip


def best_map(
    classifier: Classifier, picture: Picture, window: int = 128, stride: int = 32, exact: bool = False,
    advance: Callable[[int], None] = lambda _: None, tolerance: float | None = None, rectify: Mode = "auto",
    focal: float = FOCAL,
) -> tuple[FieldMap, Domains]:  # fmt: skip
    """`map_field` and its domains, of the picture as it is, or straightened where it then has fewer boundaries.

    A field is looked for only where there are boundaries in the picture as it is. `focal` is the focal length relative
    to the longer side. Raises as `map_field` does.
    """
    plain = map_field(classifier, picture, window, stride, exact, advance, tolerance)
    found = plain, domains(plain)
    if rectify == "none" or not _boundaries(found[1]):
        return found
    field = field_of(picture.array)
    if field is None:
        return found
    cut = StraightWindows(picture.array, field, focal)
    bent = map_field(classifier, picture, window, stride, exact, advance, tolerance, cut)
    straight = bent, domains(bent)
    fewer = _boundaries(straight[1]) < _boundaries(found[1])
    return straight if fewer and _periodic(straight[1]) >= _periodic(found[1]) - LOWER else found


def _boundaries(what: Domains) -> int:
    return int(what.below.sum() + what.right.sum())


def _periodic(what: Domains) -> float:
    return float((what.group >= 0).mean())
