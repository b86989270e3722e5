"""Workmanship: the deviations of patterns that are rough but symmetric, of severity 0 (none) to 5.

An image gets one or two constructions of `MOVERS`, which move content or atoms, and `TONERS`, done to the finished
image. Severity means the same for all of them: 1 minus the correlation of the image with and without, colours
together, is about ``CHANGE * severity ** 2``, which is 0.018 at 3; an operation's misfit is about twice that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .workmanship_moved import (
    Crystal,
    Material,
    Moved,
    Picture,
    atoms_apart,
    atoms_rounded,
    bent_lines,
    cells_moved,
    copies_moved,
    flow,
    shaky_hand,
    turned_on_pixels,
)  # fmt: skip
from .workmanship_printed import few_colours, few_pixels, halftone, jpeg
from .workmanship_scale import change
from .workmanship_sheet import Sheet
from .workmanship_toned import Op, cells_toned, copies_blurred, copies_toned, probe, shading

CHANGE = 0.002  # 1 minus the correlation at severity 1
SPREAD = 0.4  # of its logarithm, up or down
BOTH = 0.35  # share of images with two constructions
TRIES = 4  # constructions drawn until one can reach the change
NEAR = 1.6  # how far from it it may be, as a factor

MOVERS: dict[str, Callable[[Sheet, Any, np.random.Generator, float], Moved]] = {
    "flow": flow,
    "bent_lines": bent_lines,
    "shaky_hand": shaky_hand,
    "cells_moved": cells_moved,
    "copies_moved": copies_moved,
    "turned_on_pixels": turned_on_pixels,
    "atoms_apart": atoms_apart,
    "atoms_rounded": atoms_rounded,
}
TONERS: dict[str, Callable[[Sheet, Tensor, np.random.Generator, float], Op]] = {
    "shading": shading,
    "copies_toned": copies_toned,
    "cells_toned": cells_toned,
    "copies_blurred": copies_blurred,
    "probe": probe,
    "halftone": halftone,
    "few_pixels": few_pixels,
    "few_colours": few_colours,
    "jpeg": jpeg,
}
# How often each is drawn, for patterns made of pictures, of atoms, and for images without a pattern.
OF_PICTURES = {
    "flow": 2, "bent_lines": 1.5, "shaky_hand": 1.5, "cells_moved": 1, "copies_moved": 3, "turned_on_pixels": 3,
    "shading": 2, "copies_toned": 2, "cells_toned": 1, "copies_blurred": 1, "probe": 2, "halftone": 0.7,
    "few_pixels": 1.5, "few_colours": 1, "jpeg": 1,
}  # fmt: skip
OF_CRYSTALS = {
    "flow": 1.5, "bent_lines": 1.5, "shaky_hand": 1, "cells_moved": 1, "atoms_apart": 4, "atoms_rounded": 3,
    "shading": 1.5, "cells_toned": 1, "probe": 3, "halftone": 0.3, "few_pixels": 1.5, "few_colours": 0.5, "jpeg": 0.7,
}  # fmt: skip
OF_OTHERS = {"shaky_hand": 2, "probe": 1, "halftone": 0.5, "few_pixels": 1, "few_colours": 1, "jpeg": 1}


@dataclass(frozen=True)
class Rough:
    """What workmanship makes of one image: the material after all that moves, and what is done to its image."""

    sheet: Sheet
    material: Material
    ops: tuple[Op, ...]
    image: Tensor
    """(3, size, size) in [0, 1]."""

    def drawn(self, material: Material) -> Tensor:
        """The same done to another material, such as one with disorder: (3, size, size) in [0, 1]."""
        image = _drawn(self.sheet, material)
        for op in self.ops:
            image = op(image).clamp(0, 1)
        return image


def rough(
    sheet: Sheet, material: Material, severity: float, rng: np.random.Generator, names: Sequence[str] = ()
) -> Rough:
    """Workmanship of `severity` for `material` on its `sheet`: the constructions `names`, drawn if none are given."""
    target = CHANGE * severity**2 * np.exp(rng.uniform(-SPREAD, SPREAD))
    share = rng.uniform(0.3, 0.7)
    two = rng.random() < BOTH
    if names:
        order, count = list(names), len(names)
    else:
        order, count = _order(rng, sheet, material), 1 + two
    shares = [share, 1 - share] if count == 2 else [1 / count] * count
    chosen, spare = order[:count], order[count:]
    for name, part in zip(chosen, shares, strict=True):
        if name in MOVERS:
            reserve = [n for n in spare if n in MOVERS]

            def moved(n: str, r: float, before: Material = material) -> Moved:
                return MOVERS[n](sheet, before, rng, r)

            material = _first_near([name, *reserve[: TRIES - 1]], part * target, moved)
    image, ops = _drawn(sheet, material), []
    for name, part in zip(chosen, shares, strict=True):
        if name in TONERS:
            reserve = [n for n in spare if n in TONERS]

            def toned(n: str, r: float, before: Tensor = image) -> tuple[tuple[Op, Tensor], float]:
                op = TONERS[n](sheet, before, rng, r)
                after = op(before).clamp(0, 1)
                return (op, after), change(before, after)

            op, image = _first_near([name, *reserve[: TRIES - 1]], part * target, toned)
            ops.append(op)
    return Rough(sheet, material, tuple(ops), image)


def workmanship(images: Tensor, severity: Tensor, rngs: Sequence[np.random.Generator]) -> Tensor:
    """Workmanship of images (B, 3, H, W) whose pattern is not known, or that have none: `OF_OTHERS`.

    For patterns `rough` is used instead.
    """
    made = []
    for image, s, rng in zip(images, severity.tolist(), rngs, strict=True):
        size = image.shape[-1]
        sheet = Sheet(size, np.eye(2) * size / rng.uniform(3, 8), np.zeros(2))
        made.append(rough(sheet, as_material(image), s, rng).image if s > 0 else image)
    return torch.stack(made)


def as_material(image: Tensor) -> Picture:
    """An image that has been made, as a function of points."""
    half = image.shape[-1] / 2

    def read(points: Tensor) -> Tensor:
        where = (points / half)[None, None]
        return F.grid_sample(image[None], where, "bilinear", "reflection", align_corners=False)[0, :, 0]

    return Picture(read, read, image.device)


def _order(rng: np.random.Generator, sheet: Sheet, material: Material) -> list[str]:
    """All constructions that suit the material, at random, those that are drawn more often sooner."""
    table = OF_CRYSTALS if isinstance(material, Crystal) else OF_PICTURES if sheet.orbit is not None else OF_OTHERS
    weights = np.array(list(table.values()))
    order = rng.choice(len(table), len(table), replace=False, p=weights / weights.sum())
    return [list(table)[k] for k in order]


def _first_near(names: Sequence[str], target: float, made: Callable[[str, float], tuple[Any, float]]) -> Any:
    """What the first of `names` makes that changes the image by about `target`; the nearest if none does."""
    tried = []
    for name in names:
        found, reached = made(name, target)
        off = abs(np.log(max(reached, 1e-7) / target))
        tried.append((off, found))
        if off < np.log(NEAR):
            break
    return min(tried, key=lambda pair: pair[0])[1]


def _drawn(sheet: Sheet, material: Material) -> Tensor:
    """The image (3, size, size) of a material; the levels of atoms stretched into [0, 1]."""
    image = material.look(sheet.ticks, sheet.ticks)
    if isinstance(material, Crystal):
        low, high = image.amin().clamp_max(0), image.amax().clamp_min(1)
        image = (image - low) / (high - low)
    return image
