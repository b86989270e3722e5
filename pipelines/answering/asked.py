"""What a user has a say in: the lattice, the group that is drawn and exported, and where its origin lies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ...hierarchy import HierError, group
from ...models.evidence.crops import View, best_view
from ...models.evidence.given import GivenLattice
from ..straightening.options import Rectification
from .symmetry import Point

if TYPE_CHECKING:
    from .results import Prediction

Vectors = Sequence[float] | Sequence[Sequence[float]]


@dataclass(frozen=True)
class Asked:
    """The lattice to use, the group to judge as if it were the answer, and the point next to which its origin lies.

    `origin` is in px of the image, x right and y down, (0, 0) the middle of its first pixel. What is None is found.
    """

    lattice: GivenLattice | None = None
    group: str | None = None
    origin: Point | None = None

    @classmethod
    def of(
        cls, basis: Vectors | None = None, refine: bool = True, group_name: str | None = None,
        origin: Sequence[float] | None = None,
    ) -> Asked | None:  # fmt: skip
        """The same from what a user gives; None for nothing. Raises HierError, which begins with the argument's name.

        >>> Asked.of([(20, 0), (0, 30)], origin=(5, 5)).lattice.b
        (0.0, 30.0)
        """
        if basis is None and not refine:
            raise HierError("no-refine: there is no lattice to take as it is; give a basis too, or leave it out")
        lattice = None
        if basis is not None:
            (ax, ay, bx, by) = _numbers("basis", basis, 4, "ax, ay, bx, by")
            lattice = GivenLattice((ax, ay), (bx, by), refine)
        point = None if origin is None else _numbers("origin", origin, 2, "x, y")
        try:
            name = None if group_name is None else group(group_name).name
        except HierError as error:
            raise HierError(f"group {group_name}: {error}") from error
        asked = cls(lattice, name, None if point is None else (point[0], point[1]))
        return None if asked == cls() else asked

    def check(self, rectification: Rectification, regions: bool) -> None:
        """HierError where a lattice is given, and something else is asked for that looks for lattices."""
        if self.lattice is None:
            return
        straighten = rectification.mode not in ("auto", "none") or rectification.allowed(None) > 0
        for what, is_so in (("regions", regions), ("what straightens it (rectify, strain, metric)", straighten)):
            if is_so:
                raise HierError(f"basis {self.lattice}: the lattice lies on the image as it is; leave {what} out")


def view_of(image: Tensor, asked: Asked | None, device: torch.device | str) -> View:
    """The view of an image (3, H, W) to analyse, for the lattice that is asked for if any. HierError if it has none."""
    return best_view(image, device) if asked is None or asked.lattice is None else asked.lattice.view(image, device)


def asked_in_words(found: Prediction, degree: str = "°") -> list[str]:
    """A line on each thing that was asked for, and how it fares; nothing where nothing was."""
    asked, lines = found.asked, []
    if asked is None:
        return []
    if asked.lattice is not None:
        how = "refined to the nearest best repeat" if asked.lattice.refine else "not refined"
        a, b = ("({:g}, {:g})".format(*side) for side in (asked.lattice.a, asked.lattice.b))
        lines.append(f"lattice given: a = {a}, b = {b} px, {how}")
    if asked.group is not None:
        lines.append(f"{asked.group}, as asked: {_fares(found, degree)}")
    if asked.origin is not None:
        lines.append(f"origin asked for: the one nearest to ({asked.origin[0]:g}, {asked.origin[1]:g})")
    return lines


def _fares(found: Prediction, degree: str) -> str:
    row = found.fares
    if row is None:
        return "the image is not periodic"
    said = f"{row.verdict}, {row.reason}"
    if row.phase_deg is not None and row.target_deg is not None and row.amplitude_percent is not None:
        phases = f"phases {row.phase_deg:.1f}{degree} (noise leaves {row.target_deg:.1f}{degree})"
        said += f"; residuals: {phases}, amplitudes {row.amplitude_percent:.1f} %"
    return said


def _numbers(name: str, given: object, count: int, which: str) -> tuple[float, ...]:
    """So many numbers from a sequence, flat or nested. HierError for anything else."""
    try:
        found = np.asarray(given, dtype=float).ravel().tolist()
    except (TypeError, ValueError):
        found = []
    if len(found) != count or not all(math.isfinite(x) for x in found):
        raise HierError(f"{name} {given}: give {count} numbers, {which}, in px of the image")
    return tuple(found)
