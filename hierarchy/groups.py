"""The 17 wallpaper groups: generators typed once, everything else derived.

Names, numbers, settings and origins: International Tables for Crystallography, Vol. A (6th ed., 2016),
chapter 2.2, "The 17 plane groups". Conventional cells; hexagonal axes have gamma = 120 degrees.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

from .errors import UnknownNameError
from .finite import closure
from .identification import primitive
from .operations import IDENTITY, Operation, Vector, is_rectangular

LatticeSystem: TypeAlias = Literal["oblique", "rectangular", "square", "hexagonal"]

# Short name, full symbol, generators besides the cell's translations.
_TABLE = (
    ("p1", "p1", ()),
    ("p2", "p2", ("-x,-y",)),
    ("pm", "p1m1", ("-x,y",)),
    ("pg", "p1g1", ("-x,y+1/2",)),
    ("cm", "c1m1", ("x+1/2,y+1/2", "-x,y")),
    ("pmm", "p2mm", ("-x,-y", "-x,y")),
    ("pmg", "p2mg", ("-x,-y", "-x+1/2,y")),
    ("pgg", "p2gg", ("-x,-y", "-x+1/2,y+1/2")),
    ("cmm", "c2mm", ("x+1/2,y+1/2", "-x,-y", "-x,y")),
    ("p4", "p4", ("-y,x",)),
    ("p4m", "p4mm", ("-y,x", "-x,y")),
    ("p4g", "p4gm", ("-y,x", "-x+1/2,y+1/2")),
    ("p3", "p3", ("-y,x-y",)),
    ("p3m1", "p3m1", ("-y,x-y", "-y,-x")),
    ("p31m", "p31m", ("-y,x-y", "y,x")),
    ("p6", "p6", ("x-y,x",)),
    ("p6m", "p6mm", ("x-y,x", "-y,-x")),
)

# Other settings and spellings in use for the same types.
_SPELLINGS = {
    "p211": "p2", "p11m": "pm", "p11g": "pg", "c11m": "cm", "p2gm": "pmg", "pgm": "pmg",
}  # fmt: skip

_POINT_GROUPS = {1: "m", 2: "2mm", 3: "3m", 4: "4mm", 6: "6mm"}


@dataclass(frozen=True)
class WallpaperGroup:
    """One of the 17 plane-group types in its standard setting.

    >>> group("p4g").point_group, group("p4g").order, group("p2mg").name
    ('4mm', 8, 'pmg')
    """

    name: str
    number: int
    symbol: str
    generators: tuple[Operation, ...]

    @cached_property
    def operations(self) -> tuple[Operation, ...]:
        """All operations of the conventional cell, centring included, sorted, identity first."""
        return closure(self.generators)

    @cached_property
    def centring(self) -> tuple[Vector, ...]:
        """Translations of the cell, modulo its lattice: ``((0, 0),)`` or ``((0, 0), (1/2, 1/2))``."""
        return tuple(op.w for op in self.operations if op.W == IDENTITY)

    @property
    def centred(self) -> bool:
        """Whether the conventional cell holds more than one lattice point (cm, cmm)."""
        return len(self.centring) > 1

    @property
    def order(self) -> int:
        """Order of the point group, 1 to 12."""
        return len(self.operations) // len(self.centring)

    @cached_property
    def rotation_order(self) -> int:
        """Highest order of a rotation: 1, 2, 3, 4 or 6."""
        return max(op.order for op in self.operations if op.kind() in ("identity", "rotation"))

    @cached_property
    def has_reflection(self) -> bool:
        """Whether there is any mirror or glide (the point group has a matrix of determinant -1)."""
        return any(op.det == -1 for op in self.operations)

    @cached_property
    def has_mirror(self) -> bool:
        """Whether there is a mirror line."""
        return any(op.kind(self.centring) == "mirror" for op in self.operations)

    @cached_property
    def has_glide(self) -> bool:
        """Whether there is a glide line: a reflection whose glide vector is not a lattice vector.

        Every mirror times a lattice translation along it is a glide by a lattice vector: those do not count.
        Glide lines halfway between the mirrors of cm, p4m or p3m1 do; International Tables draw them.
        """
        reflections = [op for op in primitive(self.operations) if op.det == -1]
        return any(op.kind() == "glide" or not is_rectangular(op.W) for op in reflections)

    @property
    def point_group(self) -> str:
        """Point group: 1, 2, m, 2mm, 4, 4mm, 3, 3m, 6 or 6mm."""
        return _POINT_GROUPS[self.rotation_order] if self.has_reflection else str(self.rotation_order)

    @property
    def lattice_system(self) -> LatticeSystem:
        """The least symmetric lattice system that allows the group: oblique, rectangular, square or hexagonal."""
        if self.rotation_order == 4:
            return "square"
        if self.rotation_order in (3, 6):
            return "hexagonal"
        return "rectangular" if self.has_reflection else "oblique"

    def __str__(self) -> str:
        return self.name


GROUPS: dict[str, WallpaperGroup] = {
    name: WallpaperGroup(name, number, symbol, tuple(Operation.from_xyz(text) for text in generators))
    for number, (name, symbol, generators) in enumerate(_TABLE, start=1)
}
GROUP_NAMES: tuple[str, ...] = tuple(GROUPS)
_NAMES = {**_SPELLINGS, **{g.symbol: g.name for g in GROUPS.values()}, **{name: name for name in GROUPS}}


def group(name: str) -> WallpaperGroup:
    """The group of a short name, full symbol or common spelling: ``pmg``, ``p2mg``, ``P 2 m g``.

    Raises UnknownNameError (a ValueError) that gives the value and similar names.
    """
    known = _NAMES.get("".join(name.split()).lower())
    if known is None:
        raise UnknownNameError("wallpaper group", name, _NAMES)
    return GROUPS[known]
