"""An image layer to a prediction, and a prediction to layers: no window is needed for either."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

import hier

from ..hierarchy import HierError
from ..pipelines.answering.figure import caption
from ..pipelines.answering.outlines import Outlines, outlines
from ..pipelines.answering.predict import Predictor
from ..pipelines.answering.results import Prediction
from ..pipelines.answering.words import percent
from ..pipelines.drawing.colours import CELL, INK, LINES
from ..pipelines.reading.picture import Reading
from ..pipelines.reading.pixel_size import PixelSize, pixel_size_from

Layer = tuple[NDArray[Any] | list[NDArray[Any]], dict[str, Any], str]
SYMBOLS = {2: "vbar", 3: "triangle_up", 4: "square", 6: "hexagon"}  # napari has no lens
NAMES = ("cell", "lattice", "mirrors", "glides", "rotation centres")


def pixels_of(layer: Any, step: tuple[int, ...] = ()) -> NDArray[Any]:
    """The picture (H, W) or (H, W, channels) that an image layer shows where the viewer stands, at `step`."""
    data = layer.data[0] if layer.multiscale else layer.data
    kept = 3 if layer.rgb else 2
    lead = data.ndim - kept
    at = tuple(min(int(k), n - 1) for k, n in zip(step[:lead], data.shape[:lead], strict=False))
    if len(at) < lead:
        raise HierError(f"{layer.name} has {data.ndim} axes: show one picture of it")
    return np.asarray(data[at])


def rectangle_of(shapes: Any, layer: Any) -> tuple[int, int, int, int]:
    """The rectangle about the selected shapes, or all, in px of an image layer: left, top, width, height."""
    chosen = sorted(shapes.selected_data) or range(len(shapes.data))
    if not len(chosen):
        raise HierError(f"{shapes.name} has no shape: draw a rectangle, or choose no region")
    corners = np.concatenate([shapes.data[k] for k in chosen])
    inside = np.array([layer.world_to_data(shapes.data_to_world(point))[-2:] for point in corners])
    height, width = pixels_of(layer, (0,) * 9).shape[:2]
    top, left = (int(max(0, np.floor(low + 0.5))) for low in inside.min(0))
    bottom, right = (
        int(min(n, np.floor(high + 0.5) + 1)) for n, high in zip((height, width), inside.max(0), strict=True)
    )
    if right <= left or bottom <= top:
        raise HierError(f"{shapes.name} lies outside {layer.name}: draw a rectangle on the image")
    return left, top, right - left, bottom - top


def pixel_size_of(layer: Any) -> PixelSize | None:
    """The side of a pixel, from a layer's scale and units, where these are lengths and the pixel is square."""
    units = [str(unit) for unit in getattr(layer, "units", ())][-2:]
    y, x = (float(s) for s in layer.scale[-2:])
    if len(units) < 2 or units[0] != units[1] or abs(x - y) > 1e-6 * abs(x):
        return None
    names = {
        "nanometer": "nm",
        "micrometer": "um",
        "picometer": "pm",
        "angstrom": "A",
        "meter": "m",
        "millimeter": "mm",
    }
    return pixel_size_from(x, names.get(units[0], units[0]))


def find(
    pixels: NDArray[Any],
    name: str,
    crop: tuple[int, int, int, int] | None = None,
    pixel_size: PixelSize | None = None,
    tolerance: float | None = None,
) -> Prediction:
    """The prediction of a picture, with its symmetry. HierError where the picture cannot be used."""
    (found,) = _model(tolerance).predict([pixels], Reading(crop=crop, pixel_size=pixel_size), keep=True)
    return replace(found, file=name)


@lru_cache(maxsize=4)
def _model(tolerance: float | None) -> Predictor:
    return hier.load(tolerance=tolerance)


def told(found: Prediction) -> str:
    """The answer in a few lines: group, path, cell, and what else an overlay says below the image."""
    try:
        lines = [line for line in caption(found) if line != found.file]
    except HierError:  # nothing to draw, such as in an image without a lattice
        return found.statement
    steps = [f"{step.level}: {step.choice}   {percent(step.probability)}" for step in found.path if found.periodic]
    return "\n".join([lines[0], *steps, *lines[1:]])


def layers_of(found: Prediction, layer: Any) -> list[Layer]:
    """Cell, lattice, mirrors, glides and rotation centres as layers of the world that an image layer lies in."""
    return [made for made in _layers(outlines(found), layer) if len(made[0])]


def _layers(drawn: Outlines, layer: Any) -> list[Layer]:
    def world(points: NDArray[Any]) -> NDArray[Any]:
        lead = (0,) * (layer.ndim - 2)
        return np.array([layer.data_to_world((*lead, y, x))[-2:] for x, y in points])

    step = float(np.linalg.norm(drawn.cell[1] - drawn.cell[0]) * abs(layer.scale[-1]))
    width = 0.012 * step if len(drawn.cell) == 4 else 0.2 * step
    made: list[Layer] = []
    for kind, lines, colour, size in (
        ("lattice", drawn.lattice, "white", width), ("mirrors", drawn.mirrors, LINES, 1.5 * width),
        ("glides", drawn.glides, "#7a4fd0", 1.5 * width),
    ):  # fmt: skip
        style = {"name": f"{layer.name}: {kind}", "shape_type": "path", "edge_color": colour, "edge_width": size}
        made.append(([world(line) for line in lines], style, "shapes"))
    style = {"shape_type": "polygon", "edge_color": CELL, "edge_width": 3 * width, "face_color": "transparent"}
    made.append(([world(drawn.cell)], {"name": f"{layer.name}: cell", **style}, "shapes"))
    points = [world(at) for at in drawn.centres.values()]
    orders = [n for n, at in drawn.centres.items() for _ in at]
    style = {
        "name": f"{layer.name}: rotation centres", "symbol": [SYMBOLS[n] for n in orders], "face_color": INK,
        "border_color": "white", "size": 12 * width, "features": {"order": orders},
    }  # fmt: skip
    made.append((np.concatenate(points) if points else np.empty((0, 2)), style, "points"))
    units = {"units": tuple(layer.units)[-2:]} if hasattr(layer, "units") else {}
    return [(data, style | units, kind) for data, style, kind in made]
