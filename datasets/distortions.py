"""Distortions of the view: where in the pattern each pixel of the image looks, exactly.

A distortion maps points of the image, px from its middle (x right, y down), to points of the straight pattern. It acts
before everything that instruments add. Severities run from 0 to 5, as those of corruptions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..hierarchy import HierError

FOCAL = 1.2  # focal length of the camera, relative to the image's side: a field of view of 45 degrees
TILT = 6.0  # degrees a step
RADIAL, CREEP, LINEAR, BEND = 0.01, 0.01, 0.02, 1 / 15  # a step, see `draw_distortion`
EDGE = 3  # px beyond, for interpolation
WAVES = 0.4, 0.9  # periods of a bend across the view


@dataclass(frozen=True)
class Distortion:
    """What was drawn: its `kind` in `DISTORTIONS` and its `parameters`, for an image of `size` px a side.

    ``perspective``: tilt and direction in degrees. ``barrel``: radial displacement at the corner, relative to its
    distance, negative for a pincushion. ``shear``: shear along x with y, and stretch along y. ``creep``: displacement
    (x, y) of the first row, relative to the side, which dies away. ``bend``: amplitude in px, then wave numbers and
    phases of the displacement along x and y, then the affine part that is left out.
    """

    kind: str
    parameters: tuple[float, ...]
    size: int

    def __call__(self, points: Tensor) -> Tensor:
        """Points (..., 2) of the image to points of the pattern."""
        flat = points.reshape(1, -1, 2)
        return _MAPS[self.kind](flat, self.size, points.new_tensor([self.parameters])).reshape(points.shape)

    def reach(self) -> float:
        """Largest distance along x or y from the middle, in px, at which the pattern is seen."""
        edge = torch.linspace(-0.5, 0.5, 65) * self.size
        far = torch.full_like(edge, self.size / 2)
        sides = [torch.stack(pair, -1) for pair in ((edge, far), (edge, -far), (far, edge), (-far, edge))]
        return float(self(torch.cat(sides)).abs().max())


def _perspective(points: Tensor, size: int, p: Tensor) -> Tensor:
    """A plane seen at an angle: its normal leans by the tilt towards the direction, its point in the middle stays."""
    tilt, direction = p.deg2rad().unbind(-1)
    axis = torch.stack([direction.cos(), direction.sin()], -1)[:, None]
    aside = torch.stack([-direction.sin(), direction.cos()], -1)[:, None]
    f, sine, cosine = FOCAL * size, tilt.sin()[:, None], tilt.cos()[:, None]
    along, across = (points * axis).sum(-1), (points * aside).sum(-1)
    depth = f * cosine / (sine * along + f * cosine)
    # coordinates within the plane: the distance along the lean is foreshortened
    lean = along * depth * cosine - (depth - 1) * f * sine
    return lean[..., None] * axis + (across * depth)[..., None] * aside


def _barrel(points: Tensor, size: int, p: Tensor) -> Tensor:
    return points * (1 + p[:, :, None] * points.square().sum(-1, keepdim=True) / (size**2 / 2))


def _shear(points: Tensor, size: int, p: Tensor) -> Tensor:
    return points + points[..., 1:] * p[:, None]


def _creep(points: Tensor, size: int, p: Tensor) -> Tensor:
    return points + size * torch.exp(-4 * (points[..., 1:] / size + 0.5)) * p[:, None]


def _bend(points: Tensor, size: int, p: Tensor) -> Tensor:
    waves, affine, relative = p[:, 1:7].reshape(-1, 2, 3), p[:, 7:].reshape(-1, 3, 2), points / size
    moved = (2 * math.pi * (relative @ waves[..., :2].mT + waves[:, None, :, 2])).sin()
    return points + p[:, None, :1] * (moved - relative @ affine[:, :2] - affine[:, None, 2])


_MAPS: dict[str, Callable[[Tensor, int, Tensor], Tensor]] = {
    "perspective": _perspective, "barrel": _barrel, "shear": _shear, "creep": _creep, "bend": _bend,
}  # fmt: skip
DISTORTIONS = tuple(_MAPS)


def draw_distortion(kind: str, severity: float, size: int, cell: float, rng: np.random.Generator) -> Distortion:
    """A distortion of images of `size` px with cells of about `cell` px, its directions and signs drawn.

    A step is a tilt of `TILT` degrees; `RADIAL` of the distance at the corner; `LINEAR` of shear and as much stretch;
    a displacement of `CREEP` of the side at the first row; a wavy displacement that differs by up to `BEND` of a cell
    across the view and has no affine part.
    """
    angle, sign = rng.uniform(0, 2 * math.pi), 1.0 if rng.random() < 0.5 else -1.0
    match kind:
        case "perspective":
            given: tuple[float, ...] = (TILT * severity, math.degrees(angle))
        case "barrel":
            given = (RADIAL * severity * sign,)
        case "shear":
            given = (LINEAR * severity * sign, LINEAR * severity * (1.0 if rng.random() < 0.5 else -1.0))
        case "creep":
            given = (CREEP * severity * math.cos(angle), CREEP * severity * math.sin(angle))
        case "bend":
            turns, number = rng.uniform(0, 2 * math.pi, 2), rng.uniform(*WAVES, 2)
            phases = rng.uniform(1 / 8, 3 / 8, 2)  # near a crest: what is odd about the middle is nearly affine
            waves = np.stack([number * np.cos(turns), number * np.sin(turns), phases], 1).ravel().tolist()
            reach, affine = _without_affine(waves)
            given = (BEND * severity * cell / reach, *waves, *affine)
        case _:
            raise HierError(f"distortion {kind!r}: give one of {', '.join(DISTORTIONS)}")
    return Distortion(kind, given, size)


def _without_affine(waves: Sequence[float]) -> tuple[float, list[float]]:
    """Of a bend by 1 px: the largest difference of displacements across the view, along x or y, and its affine part.

    The part is fitted over the view and left out of the difference: a (3, 2) map of points relative to the size.
    """
    ticks = np.linspace(-0.5, 0.5, 33)
    points = np.stack(np.meshgrid(ticks, ticks), -1).reshape(-1, 2)
    numbers = np.reshape(waves, (2, 3))
    moved = np.sin(2 * np.pi * (points @ numbers[:, :2].T + numbers[:, 2]))
    view = np.column_stack([points, np.ones(len(points))])
    affine = np.linalg.lstsq(view, moved, rcond=None)[0]
    return float(np.ptp(moved - view @ affine, axis=0).max()), affine.ravel().tolist()


def bent(image: Tensor, distortions: Sequence[Distortion]) -> Tensor:
    """The view of a pattern (3, S, S), drawn beyond it, through `distortions`, the first nearest to the pattern.

    (3, size, size); bicubic interpolation. Where the pattern ends it is continued by reflection.
    """
    size = distortions[0].size
    ticks = torch.arange(size, device=image.device) - (size - 1) / 2
    at = torch.stack(torch.meshgrid(ticks, ticks, indexing="xy"), -1).to(image)
    for distortion in reversed(distortions):
        at = distortion(at)
    return _seen(image[None], at[None])[0]


def _seen(images: Tensor, at: Tensor) -> Tensor:
    """Images (B, 3, S, S) at points (B, H, W, 2) px from their middles."""
    at = 2 * at / images.shape[-1]
    seen = F.grid_sample(images, at, mode="bicubic", padding_mode="reflection", align_corners=False)
    return seen.clamp(0, 1)


def enough(distortions: Sequence[Distortion]) -> int:
    """Side in px of a pattern that is drawn so far out that `distortions` see nothing else; even beside the view's."""
    size, scale = distortions[0].size, 1.0
    for distortion in distortions:
        scale *= max(1.0, 2 * distortion.reach() / size)
    return size + 2 * math.ceil(size * (scale - 1) / 2 + EDGE)


def view_corruption(kind: str) -> Callable[[Tensor, Tensor, Sequence[np.random.Generator]], Tensor]:
    """The distortion `kind` of finished images (B, 3, S, S), which are continued by reflection; cells of a quarter."""

    def corrupt(images: Tensor, severity: Tensor, rngs: Sequence[np.random.Generator]) -> Tensor:
        size = images.shape[-1]
        drawn = [draw_distortion(kind, s, size, size / 4, r) for s, r in zip(severity.tolist(), rngs, strict=True)]
        ticks = torch.arange(size, dtype=images.dtype, device=images.device) - (size - 1) / 2
        points = torch.stack(torch.meshgrid(ticks, ticks, indexing="xy"), -1).reshape(1, -1, 2)
        given = images.new_tensor([d.parameters for d in drawn])
        at = _MAPS[kind](points.expand(len(images), -1, -1), size, given).reshape(-1, size, size, 2)
        return torch.where(severity.to(images.device)[:, None, None, None] > 0, _seen(images, at), images)

    return corrupt
