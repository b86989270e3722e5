"""A group's cell with its symmetry elements, in the graphical symbols of International Tables.

Everything drawn follows from the group's operations. As on aligned images, `a` points to the right and `b` up.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ...hierarchy import UnknownNameError, WallpaperGroup
from ...hierarchy.elements import reflection_lines, rotation_centres
from ...hierarchy.files import output
from ..marks import SOFTWARE, save_picture
from .colours import INK
from .symbols import cut, dashes, symbol

Array = NDArray[np.float64]
SIDE, MARGIN = 320.0, 46.0  # px: the cell's `a`, and the space about the cell
SYMBOL = 8.5  # px: radius of a rotation's symbol
FINE = 4  # factor by which a PNG is drawn larger first, to smooth its edges
GREY, SHADE = "#9aa0a6", "#e8f0fe"
_CELLS = {"oblique": (0.8, 105.0), "rectangular": (0.75, 90.0), "square": (1.0, 90.0), "hexagonal": (1.0, 120.0)}


@dataclass(frozen=True)
class Polygon:
    """A filled polygon, corners (N, 2) px."""

    corners: Array
    fill: str


@dataclass(frozen=True)
class Stroke:
    """A straight line from `start` to `end` px."""

    start: Array
    end: Array
    width: float
    colour: str = INK
    dashed: bool = False


@dataclass(frozen=True)
class Label:
    """A text, its middle at `at` px."""

    text: str
    at: Array


Shape = Polygon | Stroke | Label


def cell_basis(group: WallpaperGroup) -> Array:
    """Columns `a` and `b` of the cell that is drawn, px, y down: as general as the lattice system lets it be."""
    aspect, gamma = _CELLS[group.lattice_system]
    angle = np.radians(gamma)
    return SIDE * np.array([[1.0, aspect * np.cos(angle)], [0.0, -aspect * np.sin(angle)]])


def shapes(group: WallpaperGroup) -> tuple[list[Shape], tuple[int, int]]:
    """What is to be drawn, from back to front, and the picture's width and height in px."""
    basis = cell_basis(group)
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) @ basis.T
    origin = MARGIN - corners.min(0)
    width, height = np.ceil(np.ptp(corners, axis=0) + 2 * MARGIN).astype(int)

    def place(at: object) -> Array:
        return np.asarray(basis @ np.array(at, dtype=float) + origin)

    drawn: list[Shape] = [Polygon(fundamental_domain(group) @ basis.T + origin, SHADE)]
    drawn += [Stroke(p, q, 1.0, GREY) for p, q in zip(corners + origin, np.roll(corners, -1, 0) + origin, strict=True)]
    lines = sorted(reflection_lines(group), key=lambda line: not line.glide)
    drawn += [Stroke(place(k.start), place(k.end), 2.4, dashed=k.glide) for k in lines]
    drawn += [Polygon(place(c.at) + symbol(c.order, SYMBOL), INK) for c in rotation_centres(group)]
    outwards = {"a": (0.5, 0.0), "b": (0.0, 0.5)}
    middle = place((0.5, 0.5))
    for text, at in outwards.items():
        away = place(at) - middle
        drawn.append(Label(text, place(at) + 22 * away / np.linalg.norm(away)))
    title = group.name if group.symbol == group.name else f"{group.name}  ({group.symbol})"
    drawn.append(Label(title, np.array([width / 2, MARGIN / 3])))
    return drawn, (int(width), int(height))


def fundamental_domain(group: WallpaperGroup) -> Array:
    """Corners (N, 2), fractional, of one region that the group repeats: the points nearest to one of an orbit.

    The same rule as in `datasets.fold`. Of the points on a grid, the one is chosen whose region leaves the cell
    least and has the fewest corners. Any metric that the group preserves will do: the unit square's, unless the
    lattice is hexagonal.
    """
    metric = cell_basis(group) / SIDE if group.lattice_system == "hexagonal" else np.eye(2)
    best: tuple[float, int, float] | None = None
    chosen = np.zeros((0, 2))
    for generic in np.stack(np.meshgrid(*[np.arange(12) / 12] * 2, indexing="ij"), -1).reshape(-1, 2):
        region = _nearest_region(group, metric, generic)
        if region is None:
            continue
        corners = region @ np.linalg.inv(metric).T
        outside = float(np.maximum(corners - 1, 0).sum() + np.maximum(-corners, 0).sum())
        score = (round(outside, 6), len(corners), round(float(corners.mean(0) @ (1.0, 1.001)), 6))
        if best is None or score < best:
            best, chosen = score, corners
    return chosen


def _nearest_region(group: WallpaperGroup, metric: Array, generic: Array) -> Array | None:
    """The region nearer to `generic` than to its images, as seen with `metric`; None where it is its own image."""
    W = np.array([op.W for op in group.operations])
    w = np.array([[float(t) for t in op.w] for op in group.operations])
    steps = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 2), -1).reshape(-1, 2)
    here = metric @ generic
    others = ((W @ generic + w)[:, None] + steps).reshape(-1, 2) @ metric.T
    distance = np.linalg.norm(others - here, axis=1)
    order = np.argsort(distance)
    if distance[order[1]] < 1e-6:
        return None
    region = here + np.array([(-2, -2), (2, -2), (2, 2), (-2, 2)], dtype=float)
    for other in others[order[1:21]]:
        region = cut(region, (here + other) / 2, other - here)
    apart = np.linalg.norm(region - np.roll(region, 1, 0), axis=1)
    return np.asarray(region[apart > 1e-6])


def svg(group: WallpaperGroup) -> str:
    """The diagram as an SVG file's text."""
    drawn, (width, height) = shapes(group)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        f"<title>Symmetry elements of {group.name}</title>",
        f'<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{SOFTWARE}</dc:title></metadata>',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for shape in drawn:
        match shape:
            case Polygon():
                points = " ".join(f"{x:.2f},{y:.2f}" for x, y in shape.corners)
                lines.append(f'<polygon points="{points}" fill="{shape.fill}"/>')
            case Stroke():
                (x1, y1), (x2, y2) = shape.start, shape.end
                dash, gap = dashes(float(np.linalg.norm(shape.end - shape.start)))
                pattern = f' stroke-dasharray="{dash:.3f} {gap:.3f}"' if shape.dashed else ""
                lines.append(
                    f'<line x1="{x1:.2f}" y1="{y1:.2f}" x2="{x2:.2f}" y2="{y2:.2f}" '
                    f'stroke="{shape.colour}" stroke-width="{shape.width}"{pattern}/>'
                )
            case Label():
                x, y = shape.at
                lines.append(
                    f'<text x="{x:.1f}" y="{y:.1f}" font-family="sans-serif" font-size="16" '
                    f'text-anchor="middle" dominant-baseline="central">{escape(shape.text)}</text>'
                )
    return "\n".join([*lines, "</svg>", ""])


def picture(group: WallpaperGroup) -> Image.Image:
    """The diagram as pixels."""
    drawn, (width, height) = shapes(group)
    image = Image.new("RGB", (FINE * width, FINE * height), "white")
    draw = ImageDraw.Draw(image)
    for shape in drawn:
        match shape:
            case Polygon():
                draw.polygon([tuple(FINE * corner) for corner in shape.corners], fill=shape.fill)
            case Stroke():
                for p, q in _dashes(shape):
                    draw.line([tuple(FINE * p), tuple(FINE * q)], shape.colour, round(FINE * shape.width))
            case Label():
                font = ImageFont.load_default(16 * FINE)
                draw.text(tuple(FINE * shape.at), shape.text, INK, font, anchor="mm")
    return image.resize((width, height), Image.Resampling.LANCZOS)


def _dashes(stroke: Stroke) -> list[tuple[Array, Array]]:
    if not stroke.dashed:
        return [(stroke.start, stroke.end)]
    length = float(np.linalg.norm(stroke.end - stroke.start))
    along = (stroke.end - stroke.start) / length
    dash, gap = dashes(length)
    starts = np.arange(0.0, length - dash / 2, dash + gap)
    return [(stroke.start + t * along, stroke.start + (t + dash) * along) for t in starts]


def draw_diagram(group: WallpaperGroup, path: Path) -> None:
    """Save the diagram as SVG or PNG, by the suffix of the file's name."""
    match path.suffix.lower():
        case ".svg":
            content = svg(group).encode()
        case ".png":
            file = io.BytesIO()
            save_picture(picture(group), file, ".png")
            content = file.getvalue()
        case other:
            raise UnknownNameError("kind of picture", other, (".svg", ".png"))
    with output(path) as unfinished:
        unfinished.write_bytes(content)
