"""The straight image: an image resampled in the straight plane, as far as it shows it, and the way back."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from .families import Perspective
from .fields import Field

COARSE = 96  # points along each axis at which a field is inverted; in between it is interpolated
BLOCKS = 64  # along the longer side, in which the largest rectangle is sought
SMALLEST, SMALLEST_PART = 0.1, 0.03  # share of an image that has to be left, and of one that has a lattice in part
LARGEST = 2.0  # sides of the straight image, relative to those of the image


@dataclass(frozen=True)
class Rectified:
    """A straight `image` (C, h, w): a rectangle of what `field` makes of another image.

    `linear` (2, 2) maps the field's plane to the one that is shown; `corner` (2,) is the middle of the first pixel
    there, in units of the field.
    """

    image: Tensor
    field: Field
    linear: Tensor
    corner: Tensor

    def original(self, points: Tensor) -> Tensor:
        """Points (..., 2) in px of the straight image to px of the image it was made from."""
        f = self.field
        y = (self.corner + points.to(self.corner) / f.unit) @ torch.linalg.inv(self.linear).T
        z = f.family.inverse(y, f.parameters)
        return z * f.unit + z.new_tensor([(f.width - 1) / 2, (f.height - 1) / 2])

    def box(self) -> tuple[int, int, int, int]:
        """The smallest upright rectangle that holds what it shows of the image: left, top, width and height, px."""
        f, (_, height, width) = self.field, self.image.shape
        edge = torch.cat([torch.stack(p, -1) for p in _edges(self.corner.new_tensor([width - 1, height - 1]) / 2)])
        at = self.original(edge + edge.amax(0))
        low, high = at.amin(0).floor().clamp_min(0).long(), at.amax(0).ceil().long()
        right, bottom = min(int(high[0]) + 1, f.width), min(int(high[1]) + 1, f.height)
        return int(low[0]), int(low[1]), right - int(low[0]), bottom - int(low[1])


def rectified(image: Tensor, field: Field, linear: Tensor | None = None) -> Rectified | None:
    """The largest upright rectangle of `image` (C, H, W) in the straight plane; None if hardly anything is left.

    `field` may have been found on a smaller copy. `linear` (2, 2) is applied after it, nothing if None. Pixels keep
    their size about the middle; bicubic interpolation.
    """
    _, height, width = image.shape
    field = replace(field, parameters=field.parameters.cpu(), width=width, height=height)
    linear = torch.eye(2) if linear is None else linear.to(field.parameters)
    unit, half = field.unit, torch.tensor([width, height]) / (2 * field.unit)
    edge = torch.cat([torch.stack(p, -1) for p in _edges(half)])
    seen = field.family.apply(edge, field.parameters) @ linear.T
    low, high = seen.amin(0), seen.amax(0)
    low, high = low.maximum(-LARGEST * half), high.minimum(LARGEST * half)
    columns, rows = ((high - low) * unit).ceil().long().tolist()
    if min(columns, rows) < 1:
        return None
    corner = low + 0.5 / unit
    at = _sources(field, linear, corner, rows, columns, image)
    outside = ~(at.abs() <= 1).all(-1)
    if field.within is not None:
        seen = F.grid_sample(field.within[None, None].to(at), at[None], mode="nearest", align_corners=False)[0, 0]
        outside |= seen < 0.5
    left, top, wide, high_ = largest_rectangle(outside)
    if wide * high_ < (SMALLEST if field.within is None else SMALLEST_PART) * width * height:
        return None
    inner = at[top : top + high_, left : left + wide]
    made = F.grid_sample(image[None], inner[None], mode="bicubic", padding_mode="reflection", align_corners=False)[0]
    made = made.clamp(float(image.min()), float(image.max()))
    return Rectified(made, field, linear, corner + torch.tensor([left, top]) / unit)


def _edges(half: Tensor) -> list[tuple[Tensor, Tensor]]:
    t = torch.linspace(-1, 1, 65)
    x, y = t * half[0], t * half[1]
    return [(x, torch.full_like(x, s * float(half[1]))) for s in (-1, 1)] + [
        (torch.full_like(y, s * float(half[0])), y) for s in (-1, 1)
    ]


def _sources(field: Field, linear: Tensor, corner: Tensor, rows: int, columns: int, image: Tensor) -> Tensor:
    """Where each pixel of the straight plane lies in the image, in -1 to 1: (rows, columns, 2)."""
    exact = isinstance(field.family, Perspective)
    n, m = (rows, columns) if exact else (min(rows, COARSE), min(columns, COARSE))
    x, y = (torch.linspace(0, count - 1, k) for count, k in ((columns, m), (rows, n)))
    plane = corner + torch.stack(torch.meshgrid(x, y, indexing="xy"), -1) / field.unit
    plane = plane @ torch.linalg.inv(linear).T
    z = field.family.inverse(plane, field.parameters).nan_to_num(9.0, 9.0, -9.0)
    if not exact:
        moved = (z - plane).clamp(-9, 9).permute(2, 0, 1)[None]
        moved = F.interpolate(moved, (rows, columns), mode="bicubic", align_corners=True)[0].permute(1, 2, 0)
        x, y = torch.arange(columns) / field.unit, torch.arange(rows) / field.unit
        plane = (corner + torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)) @ torch.linalg.inv(linear).T
        z = plane + moved
    return (z * field.unit / torch.tensor([field.width / 2, field.height / 2])).to(image)


def largest_rectangle(outside: Tensor) -> tuple[int, int, int, int]:
    """Left, top, width and height of the largest rectangle without any of `outside` (H, W), in whole blocks."""
    H, W = outside.shape
    step = max(1, math.ceil(max(H, W) / BLOCKS))
    blocks = F.max_pool2d(outside[None, None].float(), step, ceil_mode=True)[0, 0] < 0.5
    best = (0, 0, 0, 0, 0)
    heights = [0] * blocks.shape[1]
    for bottom, row in enumerate(blocks.tolist()):
        heights = [h + 1 if inside else 0 for h, inside in zip(heights, row, strict=True)]
        open_: list[tuple[int, int]] = []  # where a run of at least that height begins
        for x, h in enumerate([*heights, 0]):
            begin = x
            while open_ and open_[-1][1] >= h:
                begin, high = open_.pop()
                best = max(best, (high * (x - begin), begin, bottom - high + 1, x - begin, high))
            open_.append((begin, h))
    _, left, top, wide, high = best
    return left * step, top * step, min(wide * step, W - left * step), min(high * step, H - top * step)
