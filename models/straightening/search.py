"""Where to begin: tilts of the whole view under which it repeats best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ..evidence.lattice import find_lattice
from .families import PERSPECTIVE
from .plane import Lattice, pixels

SIDE = 128  # px: geometric mean of the sides at which tilts are tried
RINGS = ((0.07, 6), (0.14, 10), (0.21, 14), (0.28, 18))  # perspective parameters: lengths, and directions of each
FEW, PENALTY = 4.0, 0.15  # cells in view from which a lattice is doubted, and by how much of its level


@dataclass(frozen=True, eq=False)
class Start:
    """Parameters of a `Perspective`, the `lattice` under it, how well it repeats, and what that is worth."""

    tilt: Tensor
    lattice: Lattice
    level: float
    merit: float


@lru_cache(maxsize=4)
def _tilts() -> Tensor:
    rings = [(r * math.cos(2 * math.pi * k / n), r * math.sin(2 * math.pi * k / n)) for r, n in RINGS for k in range(n)]
    return torch.tensor([(0.0, 0.0), *rings])


def tilted(image: Tensor) -> list[Start]:
    """Starts for an image (C, H, W), no tilt first, then all others."""
    _, H, W = image.shape
    share = SIDE / math.sqrt(H * W)
    small = F.interpolate(image[None], (round(H * share), round(W * share)), mode="bilinear", antialias=True)
    h, w = small.shape[-2:]
    unit, tilts = math.sqrt(h * w) / 2, _tilts().to(image)
    straight = pixels(h, w, image.device)
    at = torch.stack([PERSPECTIVE.inverse(straight, c) for c in tilts]) * unit / straight.new_tensor([w / 2, h / 2])
    views = F.grid_sample(small.expand(len(tilts), -1, -1, -1), at, padding_mode="border", align_corners=False)
    found = find_lattice(views)
    cells = h * w / torch.linalg.det(found.basis).abs()
    merit = found.level - PENALTY * (FEW / cells).clamp_max(3) - 0.03 * tilts.norm(dim=1)
    none = tilts.new_zeros(2)
    return [
        Start(c, Lattice(basis / unit, none), level, m)
        for c, basis, level, m in zip(tilts, found.basis, found.level.tolist(), merit.tolist(), strict=True)
    ]


def apart(starts: Sequence[Start], count: int = 3, near: float = 0.09, worth: float = 0.15) -> list[Start]:
    """The best of `starts`, no two of tilts within `near`, none worth less by `worth`; no tilt unless clearly worse."""
    best: list[Start] = []
    for start in sorted(starts, key=lambda s: -s.merit):
        if best and start.merit < best[0].merit - worth:
            break
        if all(float((start.tilt - other.tilt).norm()) > near for other in best):
            best.append(start)
        if len(best) == count:
            break
    straight = starts[0]
    if straight not in best and straight.merit > best[0].merit - 0.05:
        best = [*best[: count - 1], straight]
    return best
