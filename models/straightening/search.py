"""Where to begin: tilts of the whole view under which it repeats best, and lattices of parts of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ..evidence.lattice import find_lattice
from .families import PERSPECTIVE
from .matching import Lattice, pixels

SIDE = 128  # px: geometric mean of the sides at which tilts are tried
RINGS = ((0.07, 6), (0.14, 10), (0.21, 14), (0.28, 18))  # perspective parameters: lengths, and directions of each
PARTS = ((0.5, 0.5), (0.7, 1.0))  # of the sides; how far out the corner parts lie, 1 for the very corners
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


def apart(starts: list[Start], count: int = 3, near: float = 0.09, worth: float = 0.15) -> list[Start]:
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


def in_parts(image: Tensor) -> list[Start]:
    """Lattices of parts of an image (C, H, W), those first that repeat best; each about the middle of its part."""
    _, H, W = image.shape
    unit = math.sqrt(H * W) / 2
    made = []
    for share, out in PARTS:
        h, w = round(share * H), round(share * W)
        corners = [(0.5, 0.5), *(((1 + i * out) / 2, (1 + j * out) / 2) for i in (-1, 1) for j in (-1, 1))]
        places = [(round(y * (H - h)), round(x * (W - w))) for y, x in corners]
        found = find_lattice(torch.stack([image[:, y : y + h, x : x + w] for y, x in places]))
        for k, (y, x) in enumerate(places):
            middle = image.new_tensor([x + (w - W) / 2, y + (h - H) / 2]) / unit
            basis, level = found.basis[k], float(found.level[k])
            cells = h * w / float(torch.linalg.det(basis).abs())
            merit = level - 2 * PENALTY * min(max(3 / cells - 0.6, 0.0), 1.0)
            made.append(Start(middle.new_zeros(2), Lattice(basis / unit, middle), level, merit))
    return sorted(made, key=lambda s: -s.merit)
