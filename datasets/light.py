"""Light and instruments, of severity 0 (nothing) to 5: what lies over a pattern and is no part of its repeat.

An edge of light or shadow, vignettes and bows, scan lines with offsets, pixels far outside the others' range, a plane
many times the pattern's own height. Each leaves the pattern room within [0, 1], at the cost of its contrast, so that
little is clipped: a saturated pixel squeezes all others into a narrow range, as it does when data are scaled by their
own range.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Generators = Sequence[np.random.Generator]
CROWD = 6000  # px for each hot pixel that an image may have beside the first


def _column(values: object, images: Tensor) -> Tensor:
    """One number for each image, (B, 1, 1, 1)."""
    return torch.as_tensor(values, dtype=torch.float32, device=images.device)[:, None, None, None]


def _places(images: Tensor) -> tuple[Tensor, Tensor]:
    """Positions x (W,) and y (H, 1) in units of the longer side, 0 in the middle."""
    H, W = images.shape[-2:]
    x, y = (torch.arange(n, device=images.device) - (n - 1) / 2 for n in (W, H))
    return x / max(H, W), y[:, None] / max(H, W)


def _turned(images: Tensor, drawn: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
    """Coordinates (B, 1, H, W) along and across a direction at the angles `drawn` (B,)."""
    x, y = _places(images)
    angle = _column(drawn, images)
    return x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()


def shadow(images: Tensor, severity: Tensor, rngs: Generators) -> Tensor:
    """One edge, sharp or soft, straight or curved: on one side the image is darker by the factor 1 - 0.15 a step.

    Every other image is not multiplied; there a step of as much of the grey range is added at the cost of contrast.
    """
    drawn = np.array(
        [
            (r.uniform(0, 2 * np.pi), r.uniform(-0.25, 0.25), r.choice([0, r.uniform(-1.5, 1.5)]),
             10 ** r.uniform(-3, -0.8), r.integers(2)) for r in rngs
        ]
    )  # fmt: skip
    along, across = _turned(images, drawn[:, 0])
    at, bend, width, added = (_column(column, images) for column in drawn[:, 1:].T)
    side = torch.sigmoid((along - at + bend * across.square()) / width)
    depth = 0.15 * _column(severity, images)
    step = 0.6 * depth
    return torch.where(added > 0, images * (1 - step) + step * side, images * (1 - depth * side))


def vignette(images: Tensor, severity: Tensor, rngs: Generators) -> Tensor:
    """A smooth bow: light that falls off by up to 0.15 a step, or brightness that is added at the cost of contrast.

    The bow is a quadratic form about a point, in every other image another one in each channel: a gradient of colour.
    """
    drawn = np.stack([_bows(r) for r in rngs])
    x, y = _places(images)
    cx, cy, xx, xy, yy = torch.from_numpy(drawn).float().to(images.device)[..., None, None].unbind(2)
    dx, dy = x - cx, y - cy
    bow = xx * dx.square() + xy * dx * dy + yy * dy.square()
    low, high = bow.amin((2, 3), keepdim=True), bow.amax((2, 3), keepdim=True)
    bow = (bow - low) / (high - low)
    depth = 0.15 * _column(severity, images)
    step, added = 0.8 * depth, _column([r.integers(2) for r in rngs], images)
    return torch.where(added > 0, images * (1 - step) + step * bow, images * (1 - depth * bow))


def _bows(rng: np.random.Generator) -> NDArray[np.float64]:
    """Middle (x, y) and quadratic form (xx, xy, yy) of the bow of each channel: (3, 5)."""
    one = np.array([*rng.uniform(-0.3, 0.3, 2), *rng.uniform((0.3, -1, 0.3), (1, 1, 1))])
    other = np.array([[*rng.uniform(-0.5, 0.5, 2), *rng.uniform(-1, 1, 3)] for _ in range(3)])
    return other if rng.random() < 0.5 else np.tile(one, (3, 1))


def lines(images: Tensor, severity: Tensor, rngs: Generators) -> Tensor:
    """Scan lines (rows) each with an offset of its own, its deviation 0.035 of the grey range a step.

    Some lines take those after them along: a tip that changes. Contrast falls by 0.12 a step to make room.
    """
    H = images.shape[-2]
    offsets = []
    for r in rngs:
        own, jumps = r.standard_normal(H), r.standard_normal(H) * (r.random(H) < 3 / H)
        offsets.append(0.8 * own + 0.6 * jumps.cumsum())
    offset = torch.from_numpy(np.stack(offsets)).float().to(images.device)[:, None, :, None]
    s = _column(severity, images)
    return images * (1 - 0.12 * s) + 0.06 * s + 0.035 * s * offset


def hot(images: Tensor, severity: Tensor, rngs: Generators) -> Tensor:
    """A few saturated or no-data pixels; all others lie in 2 to the power of -0.4 severity^2 of the grey range.

    From one pixel to one more in each `CROWD`: all white with the rest at the dark end, or all black with the rest at
    the bright end.
    """
    H, W = images.shape[-2:]
    mask = np.zeros((len(images), H * W), dtype=np.float32)
    white = []
    for row, r in zip(mask, rngs, strict=True):
        count = int(r.integers(1, 2 + H * W // CROWD))
        row[r.choice(H * W, count, replace=False)] = 1.0
        white.append(float(r.integers(2)))
    where, value = torch.from_numpy(mask).reshape(-1, 1, H, W).to(images.device), _column(white, images)
    room = 2 ** (-0.4 * _column(severity, images).square())
    rest = images * room + (1 - room) * (1 - value)
    return torch.where((where > 0) & (_column(severity, images) > 0), value, rest)


def plane(images: Tensor, severity: Tensor, rngs: Generators) -> Tensor:
    """A plane whose rise is 1.2 times the grey range of the pattern for each square of the severity: 30 times at 5."""
    along, _ = _turned(images, np.array([r.uniform(0, 2 * np.pi) for r in rngs]))
    low, high = along.amin((2, 3), keepdim=True), along.amax((2, 3), keepdim=True)
    room = 1 / (1 + 1.2 * _column(severity, images).square())
    return images * room + (1 - room) * (along - low) / (high - low)
