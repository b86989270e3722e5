"""A lattice that is given and not looked for: refined to the nearest best repeat, or taken as it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...hierarchy import HierError
from .background import without_slope
from .crops import FEWEST, View, views
from .flatten import flattened
from .lattice import Lattice, divided, reduce_basis
from .repeats import SHORTEST, coset_levels, refine, surfaces, weights

RIGHT = 0.05  # cosine of the angle up to which a cell counts as rectangular
MIDDLE = ((0.0, 0.0), (0.5, 0.5))  # the corners of a cell and its middle


@dataclass(frozen=True)
class GivenLattice:
    """The lattice of a cell with sides `a` and `b`, px of the image, x right and y down.

    The cell is primitive or centred: a rectangular one whose middle repeats as its corners do is taken for centred.
    With `refine` it is moved to the nearest lattice on which the image repeats best. HierError for vectors that span
    no cell, or too small a one.
    """

    a: tuple[float, float]
    b: tuple[float, float]
    refine: bool = True

    def __post_init__(self) -> None:
        if not all(math.isfinite(x) for x in (*self.a, *self.b)):
            raise HierError(f"basis {self}: give four finite numbers, ax,ay,bx,by in px of the image")
        shortest = float(self.reduced(1.0)[0].norm(dim=0).min())
        if shortest < SHORTEST:
            raise HierError(
                f"basis {self}: the two vectors span a lattice with a vector of {shortest:.2g} px; give two that point "
                f"in different directions, with {SHORTEST:g} px or more between lattice points"
            )

    def __str__(self) -> str:
        return ",".join(f"{x:g}" for x in (*self.a, *self.b))

    def reduced(self, scale: float) -> Tensor:
        """The reduced basis (1, 2, 2), in units of `scale` px of the image."""
        return reduce_basis(torch.tensor([self.a, self.b], dtype=torch.float64).T[None] / scale).float()

    @torch.inference_mode()
    def view(self, image: Tensor, device: torch.device | str = "cpu") -> View:
        """The finest view of an image (C, H, W) with `FEWEST` cells, else the widest, with this lattice on `device`.

        HierError for an image that is too small for the lattice, or too large to show it.
        """
        fitting = [view for view in views(image) if self._fits(view)]
        if not fitting:
            height, width = image.shape[-2:]
            raise HierError(f"basis {self}: an image of {width} x {height} px does not show a repeat of such a cell")

        def cells(view: View) -> float:
            return view.image[0].numel() / float(torch.linalg.det(self.reduced(view.scale)[0]).abs())

        chosen = next((view for view in fitting if cells(view) >= FEWEST), fitting[-1])
        start = self.reduced(chosen.scale).to(device)
        level, lattice, flat = flattened(
            chosen.image[None].to(device), lambda images: lattice_given(images, start, self.refine)
        )
        return View(chosen.image, chosen.scale, lattice, level[0].to(image.device), flat)

    def _fits(self, view: View) -> bool:
        """Whether a view can show that it repeats by either vector."""
        basis = self.reduced(view.scale)[0]
        reached = weights(basis.T, (view.image.shape[-2], view.image.shape[-1]))
        return bool((reached > 0).all()) and float(basis.norm(dim=0).min()) >= SHORTEST


def lattice_given(images: Tensor, basis: Tensor, refined: bool) -> Lattice:
    """The lattice of reduced `basis` (1, 2, 2) px for images (B, C, H, W), moved to the best repeat if `refined`.

    It has no finer and no coarser one: what is given is not exchanged for another at any tolerance.
    """
    shape = (images.shape[-2], images.shape[-1])
    surface = surfaces(without_slope(images))
    basis = _best(surface, basis.expand(len(images), -1, -1), shape, refined)
    middle = basis.new_tensor(MIDDLE)
    levels, error = coset_levels(surface, basis, middle, shape)
    a, b = basis.unbind(-1)
    right = ((a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1))).abs() < RIGHT
    centred = right & (levels[:, 1] + error.square().sum(1).sqrt() >= levels[:, 0])
    halved = reduce_basis(torch.stack([(a + b) / 2, (a - b) / 2], -1))
    basis = torch.where(centred[:, None, None], _best(surface, halved, shape, refined), basis)
    level = coset_levels(surface, basis, middle[:1], shape)[0][:, 0]
    _, _, coset, _ = divided(surface, basis, torch.zeros_like(level), shape)
    return Lattice.alone(basis, level, coset)


def _best(surface: Tensor, basis: Tensor, shape: tuple[int, int], refined: bool) -> Tensor:
    return reduce_basis(refine(surface, basis, shape)) if refined else basis
