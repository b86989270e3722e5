"""Scale bars that are drawn into an image, with their length beside them, on a box or on the pattern itself.

A scale bar is a long, low, sharp rectangle that is white or black all over. Patterns have such rectangles too: joints,
stripes, tiles. But theirs recur, and a scale bar is alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .bands import Array, Box, apart

INKS = 1.0, 0.0  # of the grey range
SAME = 0.06  # of the grey range: what JPEG leaves of one colour at a small thing
MOST = 0.25  # of the image in a bar's colour: with more, that is the colour of the ground
SHORTEST, LONGEST = 0.06, 0.6  # of the width
LEAST, LOW, HIGH = 12, 4.0, 0.06  # px of its length; lengths over height, at least; of the image's height, at most
FILLED, ALONE = 0.95, 0.35  # shares in a bar's colour: of the bar at least, of the rows beside it at most
EVEN, EVENLY = 0.02, 0.6  # of the grey range: what a bar's px differ by; the share of them that differ by no more
ALIKE = 0.5  # of a bar's length, from which another piece as high is its like
NEAR = 0.1  # of the height: so far from a bar its length may be written
GLYPH = 4  # px: the lowest letter
BOX, BOX_HIGH = 0.65, 0.3  # of the width and height, that a box has at most


@dataclass(frozen=True)
class ScaleBar:
    """A scale bar with what belongs to it: left, top, width and height in px."""

    box: Box


def scale_bar(pixels: Array) -> ScaleBar | None:
    """The scale bar of an image (H, W, C) in [0, 1]; None where there is not surely one."""
    found: list[Box] = []
    for ink in INKS:
        mask = apart(pixels, np.full(pixels.shape[-1], ink, np.float32)) <= SAME
        if not 0 < mask.mean() <= MOST:
            continue
        bar = _bar(pixels, mask)
        if bar is not None:
            found.append(_boxed(pixels, mask, bar) or _with_text(mask, bar))
    if not found:
        return None
    # what a box leaves beside its bar may look like a bar in the other colour
    return ScaleBar(around(found[0], found[-1]) if _touch(found[0], found[-1]) else found[0])


def _touch(one: Box, other: Box) -> bool:
    return all(one[k] <= other[k] + other[k + 2] and other[k] <= one[k] + one[k + 2] for k in (0, 1))


def around(one: Box, other: Box) -> Box:
    """The smallest box about two."""
    x, y = min(one[0], other[0]), min(one[1], other[1])
    right, bottom = (max(one[k] + one[k + 2], other[k] + other[k + 2]) for k in (0, 1))
    return x, y, right - x, bottom - y


def _bar(pixels: Array, mask: NDArray[np.bool_]) -> Box | None:
    """The one long low rectangle in a `mask` (H, W) of a colour, if it is alone."""
    width = mask.shape[1]
    long = max(LEAST, round(SHORTEST * width))
    runs = ndimage.binary_opening(mask, np.ones((1, long), bool))
    labels, _ = ndimage.label(runs)
    boxes = [(x.start, y.start, x.stop - x.start, y.stop - y.start) for y, x in ndimage.find_objects(labels)]
    bars = [box for box in boxes if _drawn(pixels, mask, box)]
    if len(bars) != 1:
        return None
    _, _, w, h = bars[0]
    like = [b for b in boxes if b != bars[0] and b[2] >= ALIKE * w and 0.5 * h <= b[3] <= 2 * h]
    return None if like else bars[0]


def _drawn(pixels: Array, mask: NDArray[np.bool_], box: Box) -> bool:
    """Whether a piece is a rectangle as scale bars are, sharp, of one colour and within the image."""
    height, width = mask.shape
    x, y, w, h = box
    if not (2 <= h <= HIGH * height and LOW * h <= w <= LONGEST * width):
        return False
    if x < 1 or y < 2 or x + w > width - 1 or y + h > height - 2:
        return False
    inside = mask[y : y + h, x : x + w]
    beside = max(mask[row, x : x + w].mean() for row in (y - 2, y + h + 1))
    within = pixels[y : y + h, x : x + w]
    even = (np.abs(within - np.median(within, (0, 1))).max(-1) <= EVEN).mean()
    return bool(inside.mean() >= FILLED and beside <= ALONE and even >= EVENLY)


def _boxed(pixels: Array, mask: NDArray[np.bool_], bar: Box) -> Box | None:
    """The box of one colour in which a bar lies with its length; None where it lies on the image itself."""
    height, width = mask.shape
    x, y, w, h = bar
    beside = np.concatenate([pixels[y - 2, x : x + w], pixels[y + h + 1, x : x + w]])
    ground = np.median(beside, 0)
    if (np.abs(beside - ground).max(-1) <= SAME).mean() < FILLED:
        return None
    labels, _ = ndimage.label((apart(pixels, ground) <= SAME) | mask)
    rows, columns = ndimage.find_objects(labels, int(labels[y, x]))[-1]
    box = columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start
    return box if box[2] <= BOX * width and box[3] <= BOX_HIGH * height else None


def _with_text(mask: NDArray[np.bool_], bar: Box) -> Box:
    """A bar with the letters in its colour above and below."""
    height, width = mask.shape
    x, y, w, h = bar
    far = round(NEAR * height)
    top, bottom = max(0, y - far), min(height, y + h + far)
    left, right = max(0, x - w // 5), min(width, x + w + w // 5)
    first, last, start, stop = x, x + w, y, y + h
    labels, _ = ndimage.label(mask[top:bottom, left:right], np.ones((3, 3)))
    for rows, columns in ndimage.find_objects(labels):
        high, wide = rows.stop - rows.start, columns.stop - columns.start
        if GLYPH <= high <= far and wide <= w / 2:
            first, last = min(first, left + columns.start), max(last, left + columns.stop)
            start, stop = min(start, top + rows.start), max(stop, top + rows.stop)
    return first, start, last - first, stop - start


def largest_free(width: int, height: int, taken: Box) -> Box:
    """The largest rectangle of an image beside a box: all of it above, below, left or right."""
    x, y, w, h = taken
    beside = ((0, 0, width, y), (0, y + h, width, height - y - h), (0, 0, x, height), (x + w, 0, width - x - w, height))
    return max(beside, key=lambda box: box[2] * box[3])
