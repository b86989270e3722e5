"""Bands along the edges of an image that are no part of its pattern: info bars and plain borders.

A band is of one colour but for what is written in it. That alone is no evidence: stripes, joints of bricks and the
ground of drawings are of one colour too. But whatever repeats, and is seen twice, has in its inside what it has at its
edge. So a band is cut only where it holds a longer run of rows of one colour than anywhere in the inside, and where the
pattern stops at it as if cut with a knife.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Box = tuple[int, int, int, int]  # left, top, width and height in px

SAME = 0.008, 0.032  # of the grey range: what is one colour, and what JPEG leaves of one
CLEAN = 0.93  # share of a row that is of one colour in a row that counts as such
SAMPLES = 512  # px of a row that are looked at
DEEPEST, DEEP, INSIDE = 0.4, 0.3, 0.45  # of the height: a border at most, a bar at most, what is left at least
LEAST, WRITTEN = 2, 0.03  # px of a band at least; of the height, of one with something in it
GROUND = 0.55  # mean share of a band that is of its ground
EMPTY, FULL = (
    0.3,
    0.3,
)  # share of a row in the ground, with less of which it is full; share of a band's rows that may be
CUT, EDGE = 0.4, 3  # of a usual row's difference from the ground, that comes within a row; rows that JPEG may mix
VISIBLE = 0.01  # of the grey range: a usual difference below it shows no edge
LONGER = 2.0  # times the longest run in the inside that a band's is
RUN = 0.05  # of a band's depth, that its longest run is
EXACT, EXACTLY = 0.0045, 0.6  # of the grey range: one step of a byte; share of the ground that is as exact
FOREIGN, EMPTIER = 0.6, 3.0  # share besides the ground in every part of the inside; times that in a band with writing
RULES = 6  # px of lines in other colours that are taken for a band's frame
PLAIN = 0.98  # share of a border's rows that are of one colour
ROUNDS = 4


@dataclass(frozen=True)
class Band:
    """A band along an edge: `side` is left, top, right or bottom, `px` its width; `plain` if nothing is in it."""

    side: str
    px: int
    plain: bool


@dataclass(frozen=True)
class _Rows:
    """The rows of an image: whether each is of one colour, and the median colour (H, C) of each."""

    pixels: Array
    clean: NDArray[np.bool_]
    colour: Array
    same: float

    @classmethod
    def of(cls, pixels: Array, same: float) -> _Rows:
        """Those of (H, W, C), at most `SAMPLES` columns of them; colours less than `same` apart are one."""
        seen = pixels[:, :: max(1, -(-pixels.shape[1] // SAMPLES))]
        still = (apart(seen[:, 1:], seen[:, :-1]) <= 2 * same).mean(1) >= 2 * CLEAN - 1
        colour, clean = np.zeros((len(seen), seen.shape[2]), np.float32), np.zeros(len(seen), bool)
        if still.any():  # no other row can be of one colour, and medians take time
            colour[still] = np.median(seen[still], 1)
            clean[still] = _near(seen[still], colour[still, None], same) >= CLEAN
        return cls(seen, clean, colour, same)

    def flipped(self) -> _Rows:
        """The rows in reverse."""
        return _Rows(self.pixels[::-1], self.clean[::-1], self.colour[::-1], self.same)

    def share(self, ground: Array) -> Array:
        """The share (H,) of each row that is of a colour (C,)."""
        return _near(self.pixels, ground, self.same)


def edge_bands(pixels: Array) -> tuple[Box, list[Band]]:
    """What is left of an image (H, W, C) in [0, 1] without the bands at its edges, and the bands, the outermost first.

    The whole and none where nothing is surely a band.
    """
    left, top, (height, width) = 0, 0, pixels.shape[:2]
    found: list[Band] = []
    for _ in range(ROUNDS):
        before = len(found)
        for names in (("top", "bottom"), ("left", "right")):
            here = pixels[top : top + height, left : left + width]
            rows = here if names[0] == "top" else here.swapaxes(0, 1)
            first, last = _inside(rows)
            ends = ((names[0], first, slice(0, first)), (names[1], len(rows) - last, slice(last, len(rows))))
            found += [Band(name, px, _plain(rows[where])) for name, px, where in ends if px]
            if names[0] == "top":
                top, height = top + first, last - first
            else:
                left, width = left + first, last - first
        if len(found) == before:
            break
    return (left, top, width, height), found


def _plain(band: Array) -> bool:
    return bool(_Rows.of(band, SAME[1]).clean.mean() > PLAIN)


def _inside(rows: Array) -> tuple[int, int]:
    """The first row (H, W, C) of the inside and the first after it: of exact colours if that finds a band."""
    for same in SAME:
        found = _both(_Rows.of(rows, same))
        if found != (0, len(rows)):
            return found
    return 0, len(rows)


def _both(rows: _Rows) -> tuple[int, int]:
    """The first row of the inside and the first after it: the bands at both ends that leave least, if there are any."""
    n = len(rows.clean)
    if not rows.clean.any():
        return 0, n
    flipped = rows.flipped()
    ends = [(n, None), *((n - depth, ground) for depth, ground in _candidates(flipped))]
    starts = [(0, None), *_candidates(rows)]
    pairs = sorted(((a, b) for a in starts for b in ends), key=lambda pair: pair[1][0] - pair[0][0])
    for (first, one), (last, other) in pairs:
        if last - first < max(INSIDE * n, LEAST):
            continue
        inside = slice(first, last)
        mixed = 0 if one is None else _mixed(rows, slice(0, first), inside, one)
        below = 0 if other is None else _mixed(flipped, slice(0, n - last), slice(n - last, n - first), other)
        if mixed is not None and below is not None:
            return first + mixed, last - below
    return 0, n


def _candidates(rows: _Rows) -> list[tuple[int, Array]]:
    """Depths of bands at the beginning of rows that may be, each with its ground."""
    n = len(rows.clean)
    deepest = int(DEEPEST * n)
    made: list[tuple[int, Array]] = []
    for ground in _grounds(rows, deepest):
        share = rows.share(ground)
        ours = share >= CLEAN
        whole = ours | rows.clean
        rules = np.cumsum(whole & ~ours)
        ending = np.arange(n) - np.maximum.accumulate(np.where(ours, np.arange(n), -n))  # rows since one of the ground
        for depth in range(LEAST, deepest + 1):
            if not whole[depth - 1] or ours[depth] or max(rules[depth - 1], ending[depth - 1]) > RULES:
                continue
            if ending[depth - 1] and np.abs(rows.colour[depth] - rows.colour[depth - 1]).max() <= rows.same:
                continue
            band = share[:depth]
            written = not whole[:depth].all()
            if written and not (WRITTEN * n <= depth <= DEEP * n and (band[~whole[:depth]] < EMPTY).mean() <= FULL):
                continue
            if band.mean() >= GROUND and _longest(whole[:depth]) >= RUN * depth and _exact(rows, depth, ground):
                made.append((depth, ground))
    return made


def _exact(rows: _Rows, depth: int, ground: Array) -> bool:
    """Whether a ground is drawn, not seen: an empty part of a photograph, or of a view, has noise and slopes."""
    off = apart(rows.pixels[:depth], ground)
    return bool((off[off <= rows.same] <= EXACT).mean() >= EXACTLY)


def _grounds(rows: _Rows, deepest: int) -> list[Array]:
    """The colours of whole rows near the edge, at most three, the most frequent first."""
    left = rows.colour[:deepest][rows.clean[:deepest]]
    made: list[Array] = []
    while len(left) and len(made) < 3:
        close = (np.abs(left[:, None] - left[None, :: max(1, len(left) // 64)]).max(-1) <= rows.same).sum(0)
        ground = left[int(close.argmax()) * max(1, len(left) // 64)]
        made.append(ground)
        left = left[np.abs(left - ground).max(-1) > rows.same]
    return made


def _mixed(rows: _Rows, band: slice, inside: slice, ground: Array) -> int | None:
    """How many rows after a `band` at the beginning JPEG has mixed with it, none of others.

    None where the pattern of the `inside` does not stop at the band, or has the like of it.
    """
    share = rows.share(ground)
    whole = share >= CLEAN
    if not whole[band].all() and not _apart(share, band, inside):
        return None
    if _longest(whole[band]) < LONGER * _longest(whole[inside]) + 2:
        return None
    other = apart(rows.pixels[inside], ground).mean(1)
    usual, steps = float(np.median(other)), np.diff(other[:EDGE], prepend=0)
    if usual < VISIBLE or float(steps.max()) < CUT * usual:
        return None
    return int(steps.argmax()) if rows.same == SAME[1] else 0


def _apart(share: Array, band: slice, inside: slice) -> bool:
    """Whether what is written in a band leaves more of its ground than any part of the inside as deep has."""
    depth, other = band.stop, np.cumsum(np.concatenate([[0], 1 - share[inside]]))
    least = float((other[depth:] - other[:-depth]).min()) / depth
    return bool(least >= min(FOREIGN, EMPTIER * (1 - float(share[band].mean()))))


def _longest(whole: NDArray[np.bool_]) -> int:
    """The longest run of rows that are whole."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], whole.astype(np.int8), [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def _near(pixels: Array, colour: Array, same: float) -> Array:
    """The share (H,) of each row of (H, W, C) that is within `same` of a colour."""
    share: Array = (apart(pixels, colour) <= same).mean(1, dtype=np.float32)
    return share


def apart(pixels: Array, colour: Array) -> Array:
    """How far the px (..., C) are from a colour or from other px, in the channel in which they are farthest."""
    made: Array = np.abs(pixels[..., 0] - colour[..., 0])
    for c in range(1, pixels.shape[-1]):  # much faster than the maximum over a last axis of three
        np.maximum(made, np.abs(pixels[..., c] - colour[..., c]), out=made)
    return made
