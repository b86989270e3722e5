"""What is known exactly about a generated image: its group, where its cell lies, what was done to it."""

from __future__ import annotations

from dataclasses import dataclass

from ..hierarchy import GROUP_NAMES
from .distortions import Distortion
from .drawn import Pattern


@dataclass(frozen=True)
class About:
    """One image of a dataset. Lengths in px, x right and y down, (0, 0) the middle of the first pixel.

    `origin`, `a` and `b` are (x, y) of the cell in the setting of International Tables, before any distortion of the
    view; `number` is the place in `GROUP_NAMES`, 0 for p1 to 16 for p6m, one less than that in International Tables.
    `corruptions` have the severities drawn for this image, 0 where it was left out. `distortions` as in `Distortion`.
    """

    index: int
    group: str
    number: int
    origin: tuple[float, float]
    a: tuple[float, float]
    b: tuple[float, float]
    corruptions: dict[str, float]
    distortions: tuple[Distortion, ...]


def about(pattern: Pattern, index: int, group: str, size: int, corruptions: dict[str, float],
          distortions: list[Distortion]) -> About:  # fmt: skip
    """What is known of the image of `pattern`, `size` px a side."""
    basis = pattern.basis if pattern.tile is None else pattern.tile.stretch @ pattern.basis
    origin = pattern.origin + (size - 1) / 2
    (ax, bx), (ay, by) = basis.tolist()
    return About(
        index, group, GROUP_NAMES.index(group), (float(origin[0]), float(origin[1])), (ax, ay), (bx, by),
        corruptions, tuple(distortions),
    )  # fmt: skip
