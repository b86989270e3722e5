"""Layer groups that look alike from above: those whose projection along the layer's normal is one plane group.

Numbers and symbols: International Tables for Crystallography, Vol. E (2nd ed., 2010), part 4. An image in transmission
is a projection, so it cannot tell them apart. An operation that turns the layer over, such as a horizontal twofold axis
or an inversion, is seen as what it does in the plane, here a mirror or a twofold axis. A horizontal glide plane is seen
as a translation: then the layer's own cell is twice as large as that of its image.
"""

from __future__ import annotations

from dataclasses import dataclass

from .groups import group

_TABLE = {
    "p1": ((1, "p1"), (4, "p11m"), (5, "p11a")),
    "p2": ((2, "p-1"), (3, "p112"), (6, "p112/m"), (7, "p112/a")),
    "pm": ((8, "p211"), (11, "pm11"), (27, "pm2m"), (28, "pm2_1b"), (30, "pb2b"), (31, "pm2a"), (36, "cm2e")),
    "pg": ((9, "p2_111"), (12, "pb11"), (29, "pb2_1m"), (33, "pb2_1a")),
    "cm": ((10, "c211"), (13, "cm11"), (32, "pm2_1n"), (34, "pb2n"), (35, "cm2m")),
    "pmm": ((14, "p2/m11"), (19, "p222"), (23, "pmm2"), (37, "pmmm"), (38, "pmaa"), (41, "pmma"), (48, "cmme")),
    "pmg": (
        (15, "p2_1/m11"), (16, "p2/b11"), (20, "p2_122"), (24, "pma2"), (40, "pmam"), (43, "pbaa"), (45, "pbma"),
    ),
    "pgg": ((17, "p2_1/b11"), (21, "p2_12_12"), (25, "pba2"), (44, "pbam")),
    "cmm": ((18, "c2/m11"), (22, "c222"), (26, "cmm2"), (39, "pban"), (42, "pman"), (46, "pmmn"), (47, "cmmm")),
    "p4": ((49, "p4"), (50, "p-4"), (51, "p4/m"), (52, "p4/n")),
    "p4m": ((53, "p422"), (55, "p4mm"), (57, "p-42m"), (59, "p-4m2"), (61, "p4/mmm"), (62, "p4/nbm"), (64, "p4/nmm")),
    "p4g": ((54, "p42_12"), (56, "p4bm"), (58, "p-42_1m"), (60, "p-4b2"), (63, "p4/mbm")),
    "p3": ((65, "p3"), (74, "p-6")),
    "p3m1": ((67, "p312"), (69, "p3m1"), (78, "p-6m2")),
    "p31m": ((68, "p321"), (70, "p31m"), (79, "p-62m")),
    "p6": ((66, "p-3"), (73, "p6"), (75, "p6/m")),
    "p6m": ((71, "p-31m"), (72, "p-3m1"), (76, "p622"), (77, "p6mm"), (80, "p6/mmm")),
}  # fmt: skip
_LARGER = {5, 7, 28, 30, 31, 32, 33, 34, 36, 38, 39, 41, 42, 43, 45, 46, 48, 52, 62, 64}
_POLAR = {1, 3, 11, 12, 13, 23, 24, 25, 26, 49, 55, 56, 65, 69, 70, 73, 77}


@dataclass(frozen=True)
class LayerGroup:
    """A layer group by its number and symbol in International Tables E.

    `larger`: its cell is twice that of its image. `polar`: no operation turns the layer over, as at a surface.
    """

    number: int
    symbol: str
    larger: bool
    polar: bool

    def __str__(self) -> str:
        return f"{self.symbol} ({self.number})"


def layer_groups(name: str) -> tuple[LayerGroup, ...]:
    """Layer groups whose projection is the plane group `name`. UnknownNameError for another name.

    >>> [str(layer) for layer in layer_groups("p3")]
    ['p3 (65)', 'p-6 (74)']
    >>> [layer.symbol for layer in layer_groups("p1") if layer.larger]
    ['p11a']
    """
    return tuple(LayerGroup(n, symbol, n in _LARGER, n in _POLAR) for n, symbol in _TABLE[group(name).name])
