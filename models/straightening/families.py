"""Families of fields that straighten an image: they map its points to a plane in which its lattice is one.

Points (..., 2) are relative to the image's middle and in units of half the geometric mean of its sides, x right and y
down. A field is known up to an affine map, which the lattice takes in; so none of the families has one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

KNOTS = 6  # of the thin plate along each axis
STIFF = 1e-5  # weight of its bending energy
TURNS = 12  # of the iteration that inverts a field


class Family:
    """Fields of one kind, `size` parameters each; `name` is what users read."""

    name: ClassVar[str] = "none"
    linear: ClassVar[bool] = True  # in its parameters
    size: int = 0

    def apply(self, z: Tensor, c: Tensor) -> Tensor:
        """Straight points of the points `z` under parameters `c` (size,)."""
        return z + self.basis(z) @ c if self.size else z

    def basis(self, z: Tensor) -> Tensor:
        """What a step of each parameter moves, of families that are linear in them: (..., 2, size)."""
        return z.new_zeros(*z.shape, 0)

    def slope(self, z: Tensor, c: Tensor) -> Tensor:
        """Derivatives of `apply` by the parameters: (..., 2, size)."""
        return self.basis(z)

    def penalty(self) -> Tensor | None:
        """A form (size, size) that is added to the squared error, if any."""
        return None

    def inverse(self, y: Tensor, c: Tensor) -> Tensor:
        """The points of the image that lie at the straight points `y`."""
        z = y
        for _ in range(TURNS):
            z = z - (self.apply(z, c) - y)
        return z


class Straight(Family):
    """Nothing is done."""


class Perspective(Family):
    """A plane seen at an angle: ``z / (1 + c z)``; the line at infinity is where the divisor vanishes."""

    name = "perspective"
    linear = False
    size = 2

    def apply(self, z: Tensor, c: Tensor) -> Tensor:
        """See the class."""
        return z / (1 + z @ c)[..., None]

    def slope(self, z: Tensor, c: Tensor) -> Tensor:
        """See the class."""
        return -z[..., :, None] * z[..., None, :] / (1 + z @ c)[..., None, None] ** 2

    def inverse(self, y: Tensor, c: Tensor) -> Tensor:
        """See the class."""
        return y / (1 - y @ c)[..., None]


class Barrel(Family):
    """A lens: ``z (1 + c |z|^2)`` about the image's middle."""

    name = "barrel"
    size = 1

    def basis(self, z: Tensor) -> Tensor:
        """See the class."""
        return (z * z.square().sum(-1, keepdim=True))[..., None]


class Scan(Family):
    """A slow scan along y: both coordinates move by polynomials of y, up to the fourth power."""

    name = "creep"
    size = 6

    def basis(self, z: Tensor) -> Tensor:
        """See the class."""
        y = z[..., 1:]
        return _both(torch.cat([y**2, y**3, y**4], -1))


class Polynomial(Family):
    """All polynomials of x and y up to the third power."""

    name = "polynomial"
    size = 14

    def basis(self, z: Tensor) -> Tensor:
        """See the class."""
        x, y = z.unbind(-1)
        return _both(torch.stack([x * x, x * y, y * y, x**3, x * x * y, x * y * y, y**3], -1))

    def penalty(self) -> Tensor:
        """So little that it matters only where hardly anything was measured."""
        return 1e-4 * torch.eye(self.size)


@dataclass
class Smooth(Family):
    """A thin plate over a grid of knots, as stiff as `stiffness` says; Bookstein, IEEE PAMI 11, 567 (1989)."""

    name: ClassVar[str] = "smooth"
    stiffness: float = STIFF
    knots: Tensor = field(init=False, repr=False)
    free: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        ticks = torch.linspace(-1.1, 1.1, KNOTS)
        self.knots = torch.cartesian_prod(ticks, ticks)
        affine = torch.cat([torch.ones(KNOTS**2, 1), self.knots], 1)
        self.free = torch.linalg.qr(affine, mode="complete")[0][:, 3:]  # weights without affine part
        self.size = 2 * self.free.shape[1]

    def basis(self, z: Tensor) -> Tensor:
        """See the class."""
        return _both(self._plates(z) @ self.free.to(z))

    def penalty(self) -> Tensor:
        """The bending energy of both coordinates."""
        energy = self.free.T @ self._plates(self.knots) @ self.free
        none = torch.zeros_like(energy)
        return self.stiffness * torch.cat([torch.cat([energy, none], 1), torch.cat([none, energy], 1)])

    def _plates(self, z: Tensor) -> Tensor:
        square = (z[..., None, :] - self.knots.to(z)).square().sum(-1)
        plates: Tensor = square * (square + 1e-9).log() / 2
        return plates


def _both(f: Tensor) -> Tensor:
    """Functions (..., n) as displacements along x, then along y: (..., 2, 2 n)."""
    none = torch.zeros_like(f)
    return torch.stack([torch.cat([f, none], -1), torch.cat([none, f], -1)], -2)


STRAIGHT, PERSPECTIVE, BARREL, SCAN, POLYNOMIAL, SMOOTH = (
    Straight(), Perspective(), Barrel(), Scan(), Polynomial(), Smooth(),
)  # fmt: skip
FAMILIES: tuple[Family, ...] = (STRAIGHT, PERSPECTIVE, BARREL, SCAN, POLYNOMIAL, SMOOTH)  # from simple to free
