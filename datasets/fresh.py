"""Patterns of photographs folded where a network trains, a batch at a time: for networks that see each image once.

A batch is a function of seed and step, on every device the same up to rounding. What differs from `PatternDataset`: a
fundamental domain is where a random smooth function on the torus is highest among the copies of a point, so that all
pixels of a batch are folded by a few products of matrices; and no guard rejects the few patterns that have more
symmetry than their label.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..hierarchy import GROUP_NAMES, group
from .lattices import Orientation, draw_basis, lattice_family
from .sources import LEVELS, Pool, halved, levels
from .textures import SIDE

WAVES = ((1, 0), (0, 1), (1, 1), (1, -1))  # of the function that chooses among copies
REACHED = tuple((h, k) for h in range(3) for k in range(-2, 3) if (h, k) > (0, 0))  # by operations, one of each pair
LEAST, MOST = 0.7, 0.48  # px of the picture to one of the pattern; share of the picture that a cell may take, halved


@dataclass(frozen=True)
class FreshPhotos:
    """Patterns of the pictures in `pool`, of `size` px, with `cells` primitive cells in view, fewest and most.

    `groups` are places in `GROUP_NAMES`; each is as likely as the others.
    """

    pool: Pool
    size: int
    cells: tuple[float, float]
    orientation: Orientation = "any"
    seed: int = 0
    device: str = "cpu"
    groups: tuple[int, ...] = tuple(range(len(GROUP_NAMES)))

    def batch(self, step: int, count: int) -> tuple[Tensor, Tensor]:
        """Images (B, 3, size, size) in [0, 1], and the places of their groups in `GROUP_NAMES` (B,), of one step."""
        rng = np.random.default_rng([self.seed, step])
        labels = np.array(self.groups)[rng.integers(len(self.groups), size=count)]
        area = tuple(self.size**2 / n for n in self.cells[::-1])
        families = [lattice_family(group(name)) for name in GROUP_NAMES]
        bases = np.stack([draw_basis(rng, families[k], (area[0], area[1]), self.orientation) for k in labels])
        amplitudes, origin = rng.standard_normal((count, 2 * len(WAVES))), rng.random((count, 2))
        chosen, reach, turn = rng.integers(len(self.pool), size=count), rng.random(count), rng.random(count)
        aside = rng.uniform(-1, 1, (count, 2))

        basis, label = self._there(bases), torch.from_numpy(labels).to(self.device)
        points = self._pixels @ torch.linalg.inv(basis).mT + self._there(origin)[:, None]
        folded = representatives(points, label, self._there(amplitudes), self._operations, self._mixed)
        own = (folded - folded.floor() - 0.5) @ basis.mT  # px of the pattern, from the middle of its cell
        radius = np.abs(bases @ np.array([[0.5, 0.5], [0.5, -0.5]]).T).max(-1).max(-1) * math.sqrt(2)
        widest = MOST * SIDE / radius
        scale = LEAST * np.maximum(widest / LEAST, 1.0) ** reach
        angle = 2 * np.pi * turn
        turned = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], -1).reshape(-1, 2, 2)
        slack = np.maximum(SIDE / 2 - scale * radius, 0.0)
        at = own @ self._there(scale[:, None, None] * turned).mT + self._there(slack[:, None] * aside)[:, None]
        return self._read(chosen, torch.from_numpy(scale), at), label

    def _read(self, chosen: np.ndarray[tuple[int], np.dtype[np.int64]], scale: Tensor, at: Tensor) -> Tensor:
        """The `chosen` pictures at `at` (B, P, 2) px from their middle, reduced as their `scale` (B,) asks for."""
        count, side = len(chosen), self.size
        images = torch.empty(count, 3, side, side, device=self.device)
        level = levels(scale)
        grid = (at / (SIDE / 2)).reshape(count, side, side, 2)
        for k in range(LEVELS):
            some = (level == k).nonzero().flatten()
            if len(some):
                pictures = self._halved[k][torch.from_numpy(chosen)[some].to(self.device)].float() / 255
                on = some.to(self.device)
                read = F.grid_sample(pictures, grid[on], padding_mode="reflection", align_corners=False)
                images[on] = read
        return images

    def _there(self, values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Tensor:
        return torch.from_numpy(values).float().to(self.device)

    @cached_property
    def _halved(self) -> list[Tensor]:
        """The pictures (N, 3, s, s) uint8, halved so many times."""
        every = self.pool.pictures
        return [every.to(self.device), *(halved(every, k).mul(255).round().byte().to(self.device) for k in (1, 2))]

    @cached_property
    def _pixels(self) -> Tensor:
        """From the middle of the image, in px: (P, 2)."""
        ticks = torch.arange(self.size, device=self.device) - (self.size - 1) / 2
        y, x = torch.meshgrid(ticks, ticks, indexing="ij")
        return torch.stack([x, y], -1).reshape(-1, 2)

    @cached_property
    def _operations(self) -> Tensor:
        """Of all groups, the first repeated up to the longest list: (G, K, 2, 3)."""
        lists = [[np.c_[np.array(o.W, float), np.array(o.w, float)] for o in group(n).operations] for n in GROUP_NAMES]
        most = max(map(len, lists))
        every = np.stack([np.stack([own[k] if k < len(own) else own[0] for k in range(most)]) for own in lists])
        return self._there(every)

    @cached_property
    def _mixed(self) -> Tensor:
        return moved_waves(self._operations)


def moved_waves(operations: Tensor) -> Tensor:
    """What operations (G, K, 2, 3) make of `WAVES`: matrices (G, K, 2 * WAVES, 2 * REACHED) on cosines and sines.

    cos(2 pi f (W u + w)) is a sum of the cosine and the sine of 2 pi (f W) u; f W, or its opposite, is in `REACHED`.
    """
    made = operations.new_zeros(*operations.shape[:2], 2 * len(WAVES), 2 * len(REACHED))
    for g, own in enumerate(operations.tolist()):
        for k, ((a, b, u), (c, d, v)) in enumerate(own):
            for j, (h, i) in enumerate(WAVES):
                moved, phase = (round(h * a + i * c), round(h * b + i * d)), 2 * math.pi * (h * u + i * v)
                sign = 1 if moved in REACHED else -1
                n = REACHED.index((sign * moved[0], sign * moved[1]))
                cos, sin = math.cos(phase), math.sin(phase)
                made[g, k, 2 * j, 2 * n], made[g, k, 2 * j, 2 * n + 1] = cos, -sign * sin
                made[g, k, 2 * j + 1, 2 * n], made[g, k, 2 * j + 1, 2 * n + 1] = sin, sign * cos
    return made


def representatives(points: Tensor, label: Tensor, amplitudes: Tensor, operations: Tensor, mixed: Tensor) -> Tensor:
    """Of all copies of each point (B, P, 2), in units of the cell, the one at which a function is highest: (B, P, 2).

    The function of each image is a sum of `WAVES` with `amplitudes` (B, 2 * WAVES) of cosines and sines. `label` (B,)
    are rows of `operations` and of `mixed`, see `moved_waves`.
    """
    across, down = (torch.polar(torch.ones_like(x), 2 * math.pi * x) for x in points.unbind(-1))
    powers = {0: torch.ones_like(across), 1: across, 2: across * across}
    others = {0: powers[0], 1: down, 2: down * down}
    others |= {-k: others[k].conj() for k in (1, 2)}
    waves = torch.view_as_real(torch.stack([powers[h] * others[k] for h, k in REACHED], 1))  # (B, R, P, 2)
    waves = waves.transpose(2, 3).flatten(1, 2)
    own = torch.einsum("bw,bkwr->bkr", amplitudes, mixed[label])
    best = (own @ waves).max(1).indices  # (B, P); four times as fast as argmax on a processor
    chosen = operations[label].flatten(2).gather(1, best[..., None].expand(-1, -1, 6)).reshape(*best.shape, 2, 3)
    found: Tensor = (chosen[..., :2] @ points[..., None])[..., 0] + chosen[..., 2]
    return found
