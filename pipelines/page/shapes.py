"""The overlay as lines and points in px of the image, for the page to draw over it: as `drawing.overlay` has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from ...hierarchy import group
from ..answering.results import Prediction
from ..answering.symmetry import SymmetryFound
from ..drawing.overlay import STEPS, Elements, Scale
from ..drawing.symbols import ORDERS, Array, symbol

Points = list[list[float]]
Bend = Callable[[Array], Array]


def shapes(found: Prediction) -> dict[str, Any]:
    """Cell, lattice, lines and centres of a prediction, in px of the image.

    Lines are lists of points, straight ones of two. `symbols` are the corners of a rotation's symbol of radius 1 and
    `low` is the height of a cell, from which the page takes their size.
    """
    drawn = found.symmetry or found.tried
    made: dict[str, Any] = {"regions": [_listed(np.array(r.outline).reshape(-1, 2)) for r in found.regions]}
    source = found.source
    if drawn is None or source is None:
        return made
    left, top, width, height = drawn.view
    bent, window = source.bent(), source.window

    def on_image(at: Array) -> Array:
        at = at + np.array([left, top])
        if bent is not None:
            at = np.asarray(bent[1].original(torch.from_numpy(at).float()).double())
        return np.asarray(at + (0 if window is None else np.array(window[:2])))

    chosen = group(drawn.group) if isinstance(drawn, SymmetryFound) else None
    pinned = found.asked is not None and found.asked.origin is not None
    frame, scale = drawn.frame, Scale.of(drawn.frame, width, height)
    some = Elements.of(chosen, frame, scale, width, height, pinned)
    many = STEPS if bent is not None else 2

    def line(start: Array, end: Array) -> Points:
        return _listed(on_image(np.linspace(start, end, many)))

    corners = [*some.cell, some.cell[0]]
    a = some.cell[1] - some.cell[0]
    turn = float(np.degrees(np.arctan2(-a[1], a[0])))
    at = on_image(some.cell)
    return made | {
        "cell": [point for one, two in pairwise(corners) for point in line(one, two)],
        "lattice": [line(s.start, s.end) for s in some.lattice],
        "mirrors": [line(s.start, s.end) for s in some.lines if not s.glide],
        "glides": [line(s.start, s.end) for s in some.lines if s.glide],
        "centres": [[order, *_listed(on_image(point[None]))[0]] for order, point in some.centres],
        "symbols": {order: _listed(symbol(order, 1.0, turn)) for order in ORDERS},
        "low": abs(float(np.linalg.det(frame.basis))) / float(np.linalg.norm(frame.basis, axis=0).max()),
        "handles": {"origin": _listed(at)[0], "a": _listed(at)[1], "b": _listed(at)[3]},
    }


def _listed(points: Sequence[Array] | Array) -> Points:
    return [[round(float(x), 2), round(float(y), 2)] for x, y in points]
