"""Lattices near another: how little it must be stretched to be square, hexagonal, rectangular or rhombic."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..evidence.lattice import reduce_basis

KINDS = ("oblique", "rectangular", "rhombic", "square", "hexagonal")  # every lattice is at least oblique


@dataclass(frozen=True)
class Near:
    """A lattice of `kind` in reach: `linear` (2, 2), symmetric and of determinant 1, makes the other one it.

    `strain` is its largest stretch, less 1. The same is a stretch by `ratio` of lengths along `direction`, degrees
    counter-clockwise from the image's horizontal.
    """

    kind: str
    linear: Tensor
    strain: float
    ratio: float
    direction: float


def near(basis: Tensor, most: float) -> list[Near]:
    """Lattices of every other kind within a strain of `most` from `basis` (2, 2), the nearest of each kind first.

    >>> found = near(torch.tensor([[1.0, 0.0], [0.0, 1.1]]), 0.1)
    >>> [(n.kind, round(n.ratio, 2), n.direction) for n in found]
    [('rectangular', 1.0, 0.0), ('square', 1.1, 0.0), ('rhombic', 1.1, 0.0)]
    """
    a, b = reduce_basis(basis[None].float())[0].double().unbind(-1)
    la, lb, cross = float(a.norm()), float(b.norm()), float(a[0] * b[1] - a[1] * b[0])
    turn = math.copysign(1.0, cross)
    half = math.acos(float(a @ b) / (la * lb)) / 2
    wanted = [
        ("rectangular", ((la, 0.0), (0.0, turn * lb))),
        ("square", ((1.0, 0.0), (0.0, turn))),
        ("hexagonal", ((1.0, 0.0), (-0.5, turn * math.sqrt(0.75)))),
        ("hexagonal", ((1.0, 0.0), (0.5, turn * math.sqrt(0.75)))),
        ("rhombic", ((math.cos(half), -turn * math.sin(half)), (math.cos(half), turn * math.sin(half)))),
        ("rhombic", ((la, 0.0), (-la / 2, abs(cross) / la * turn))),
        ("rhombic", ((la, 0.0), (la / 2, abs(cross) / la * turn))),
    ]
    made = [_between(kind, torch.stack([a, b], -1), torch.tensor(other).double().T) for kind, other in wanted]
    return sorted((n for n in made if n.strain <= most), key=lambda n: n.strain)


def _between(kind: str, basis: Tensor, other: Tensor) -> Near:
    """The stretch without turn that makes `basis` the lattice `other`, wherever that is turned to."""
    _, stretch, axes = torch.linalg.svd(other @ torch.linalg.inv(basis))
    stretch = stretch / stretch.prod().sqrt()
    linear = axes.T @ torch.diag(stretch) @ axes
    x, y = axes[0].tolist()
    return Near(
        kind, linear.float(), float(stretch[0]) - 1, float(stretch[0] / stretch[1]),
        round(math.degrees(math.atan2(-y, x)) % 180, 6) % 180,
    )  # fmt: skip


def upright(tilt: Tensor, steep: float) -> Tensor:
    """What is left of a perspective after its line at infinity: the plane's lengths along the tilt, (2, 2).

    `tilt` (2,) are the perspective's parameters, `steep` the tangent of the angle. Points about the middle keep their
    place across the tilt and move apart along it by the foreshortening.
    """
    along = tilt / tilt.norm().clamp_min(1e-9)
    return torch.eye(2).to(tilt) + (math.hypot(1.0, steep) - 1) * torch.outer(along, along)
