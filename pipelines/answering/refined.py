"""The conventional cell by least squares on all pixels, with standard uncertainties: 4.046(3) Å."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...hierarchy import group
from ...models.placing.precise import cell_lengths, precise_lattice
from ..reading.pixel_size import shown
from .cells import EQUAL, NEEDED, constrained
from .words import with_su

if TYPE_CHECKING:
    from .results import Prediction


@dataclass(frozen=True)
class RefinedCell:
    """The cell of the group found: `a` and `b` in `unit`, `gamma` in degrees, each with its standard uncertainty.

    It is fitted under what the group needs: one length and 120 degrees of p6. What is fixed has an uncertainty of 0.

    The unit is the pixel's where its size is known, else px. The uncertainty is that of the fit: what the size of a
    pixel and distortions of the image add is not in it.
    """

    a: float
    a_su: float
    b: float
    b_su: float
    gamma: float
    gamma_su: float
    unit: str

    def __str__(self) -> str:
        unit = shown(self.unit)
        lengths = f"a = {with_su(self.a, self.a_su)} {unit}"
        if (self.a, self.a_su) != (self.b, self.b_su) or self.gamma_su > 0:
            lengths += f", b = {with_su(self.b, self.b_su)} {unit}"
        return f"{lengths}, γ = {with_su(self.gamma, self.gamma_su)}°"

    def as_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return asdict(self)


@torch.inference_mode()
def refined_cell(found: Prediction, basis: np.ndarray[Any, np.dtype[np.float64]] | None) -> RefinedCell | None:
    """The cell of a prediction, whose primitive lattice is `basis` (2, 2) px; None without a group or enough cells."""
    if found.symmetry is None or found.source is None:
        return None
    analysis = found.source.analysis(basis)
    start = analysis.lattice.basis[0]
    made = precise_lattice(analysis.view.pixels, start)
    if made is None:
        return None
    drawn = np.array([found.symmetry.a, found.symmetry.b]).T / analysis.view.scale
    of_lattice = torch.from_numpy(np.rint(np.linalg.solve(start.double().numpy(), drawn))).to(made.basis)
    cell, system = made.basis @ of_lattice, group(found.symmetry.group).lattice_system
    values, uncertain = cell_lengths(cell, made.covariance)
    a, b, gamma = values.tolist()
    if constrained(a, b, gamma, system) != (a, b, gamma):
        values, uncertain = cell_lengths(cell, made.covariance, system in EQUAL, NEEDED[system])
    pixel = found.pixel_size
    scale = analysis.view.scale * (1.0 if pixel is None else pixel.value)
    (a, b, gamma), (a_su, b_su, gamma_su) = values.tolist(), uncertain.tolist()
    unit = "px" if pixel is None else pixel.unit
    return RefinedCell(scale * a, scale * a_su, scale * b, scale * b_su, gamma, gamma_su, unit)
