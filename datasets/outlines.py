"""Patterns drawn as lines: tilings and ornaments, by the tools that people draw with.

The label is the group of the drawing as it was meant. Tools round lines to pixels, each in its own way, and what they
make of equal lines differs by up to a pixel; `exact` alone leaves nothing but the sampling.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..hierarchy import Operation
from .rasterisers import METHODS, Layer, Shape, Tool, filled, lines, rasterise
from .tilings import Array, Motions, bent, dirichlet, draw_sites, net, stroke

WIDEST = 1 / 12  # of the primitive cell's edge: lines are at most so wide, and 5 px
SEEN = 3.0  # px: the guard sees lines at least so wide, six times what whole coordinates are off by
TILES = 14  # most Dirichlet cells in a primitive cell


@dataclass(frozen=True)
class Outlines:
    """Layers of one cell of the `lattice` (2, 2) px about the pattern's origin, the `background` (3,), and the tool."""

    layers: tuple[Layer, ...]
    lattice: Array
    background: Array
    tool: Tool

    def within(self, lower: Array, upper: Array) -> list[Layer]:
        """The layers with all copies of their paths that reach into the box ``lower..upper`` px about the origin."""
        margin = self.tool.width / 2 + 2
        inverse = np.linalg.inv(self.lattice).T
        seen = []
        for layer in self.layers:
            low, high = layer.paths.min(1) - margin, layer.paths.max(1) + margin
            shift = np.stack([lower - high.max(0), upper - low.min(0)])
            u = np.array([(x, y) for x in shift[:, 0] for y in shift[:, 1]]) @ inverse
            ticks = (np.arange(a, b + 1) for a, b in zip(np.floor(u.min(0)), np.ceil(u.max(0)), strict=True))
            shifts = np.stack(np.meshgrid(*ticks, indexing="ij"), -1).reshape(-1, 1, 2) @ self.lattice.T
            here = ((low + shifts <= upper) & (high + shifts >= lower)).all(-1)
            cell, path = here.nonzero()
            seen.append(replace(layer, paths=layer.paths[path] + shifts[cell]))
        return seen

    def at(self, points: Array) -> Array:
        """Exactly, at free points (P, 2) px about the origin, with borders that fade over one px: (3, P).

        From the distance of every point to every path; `cell` is the same on a grid.
        """
        image = np.repeat(self.background[:, None], len(points), 1)
        for layer in self.within(points.min(0) - 1, points.max(0) + 1):
            start, end = layer.segments.transpose(1, 0, 2)
            along, away = end - start, points[:, None] - start
            share = (away * along).sum(-1) / np.maximum((along**2).sum(-1), 1e-12)
            distance = np.linalg.norm(away - share.clip(0, 1)[..., None] * along, axis=-1).min(1, initial=np.inf)
            below = (start[:, 1] <= points[:, None, 1]) != (end[:, 1] <= points[:, None, 1])
            across = along[:, 0] * away[..., 1] - along[:, 1] * away[..., 0]
            crossed = below & ((across > 0) == (along[:, 1] < 0))
            odd = (crossed.reshape(len(points), -1, layer.paths.shape[1]).sum(-1) % 2).any(1) if layer.filled else False
            width = 0.0 if layer.filled else self.tool.width / 2
            cover = (width - np.where(odd, -distance, distance) + 0.5).clip(0, 1)
            image += cover * (layer.colour[:, None] - image)
        return image

    def drawn(self, corner: Array, shape: Shape) -> NDArray[np.float32]:
        """By the tool, on pixels of which the first is at `corner` (2,) px from the origin: (3, H, W)."""
        layers = self.within(corner, corner + np.array(shape[::-1]) - 1)
        moved = [replace(layer, paths=layer.paths - corner) for layer in layers]
        return rasterise(moved, self.tool, self.background, shape)

    def cell(self, side: int) -> NDArray[np.float32]:
        """Exactly, on a grid of `side` x `side` points of the lattice's cell, first axis along `a`: (3, side, side).

        Lines are at least `SEEN` px and one and a half grid steps wide there: what tools round away, and what falls
        between the grid's points, says nothing about symmetry.
        """
        step = self.lattice[:, ::-1] / side  # rows along a
        corners = self.lattice @ [[0, 1, 0, 1], [0, 0, 1, 1]]
        width = max(self.tool.width, SEEN, 1.5 * abs(np.linalg.det(step)) ** 0.5)
        image = np.broadcast_to(self.background[:, None, None], (3, side, side)).astype(np.float32)
        for layer in self.within(corners.min(1) - width, corners.max(1) + width):
            cover = lines(layer.segments, 0.0 if layer.filled else width, (side, side), step)
            if layer.filled:
                cover = np.where(filled(layer.paths @ np.linalg.inv(step).T, (side, side)), 1 - cover, cover)
            image += cover * (layer.colour[:, None, None].astype(np.float32) - image)
        return image


def draw_outlines(rng: np.random.Generator, operations: Sequence[Operation], basis: Array, lattice: Array) -> Outlines:
    """A tiling, strokes or both, in colours or grey.

    `operations` are those of the cell `basis` (2, 2) px, `lattice` (2, 2) px is the primitive cell. How much is drawn
    follows from the cell's area and the width of lines alone: the more copies there are of a motif, the smaller it is.
    """
    motions = Motions.of(operations, basis, lattice)
    tool = draw_tool(rng, motions.edge)
    background, ink, *others = _colours(rng)
    length = rng.uniform(0.1, 0.3) * motions.edge**2 / tool.width
    layers: list[Layer] = []
    style = rng.choice(["tiling", "net", "strokes"], p=[0.5, 0.1, 0.4])
    filling, decorated, curved = rng.random(3) < (0.35, 0.45, 0.5)
    if style == "net":
        layers.append(Layer(net(rng, motions, length), ink))
    elif style == "tiling":
        borders, cells = dirichlet(motions, _sites(rng, motions, length))
        decorated |= len(cells) < 3 and rng.random() < 0.5
        if filling and not curved:
            layers += _tiles(cells, others)
        layers.append(Layer(bent(rng, motions, borders) if curved else borders, ink))
    if decorated or style == "strokes":
        layers += _strokes(rng, motions, length * (1 if style == "strokes" else 0.4), ink, others if filling else [])
    return Outlines(tuple(sorted(layers, key=lambda layer: not layer.filled)), lattice, background, tool)


def draw_tool(rng: np.random.Generator, edge: float) -> Tool:
    """Any of the tools, for a pattern with a primitive cell of this edge, px."""
    method = METHODS[rng.choice(len(METHODS), p=[0.2, 0.25, 0.2, 0.1, 0.1, 0.15])]
    width = float(np.exp(rng.uniform(0, np.log(np.clip(edge * WIDEST, 1, 5)))))
    rounded, joint, average, smooth = rng.random(4) < (0.5, 0.4, 0.6, 0.7)
    scale = int(rng.integers(2, 5)) if method == "shrunk" else 1
    return Tool(method, width, bool(rounded), bool(joint), scale, bool(average), bool(smooth))


def _colours(rng: np.random.Generator) -> Iterator[Array]:
    """Background, ink and two for areas: (3,) each. Ink is dark on light or, three times in ten, light on dark."""
    light, dark = rng.uniform(0.7, 1, 3), rng.uniform(0, 0.35, 3)
    if rng.random() < 0.4:
        light, dark = np.ones(3), np.zeros(3)
    colours = [light, dark, *rng.uniform(0.3, 1, (2, 3))]
    if rng.random() < 0.5:
        colours = [np.repeat(c.mean(), 3) for c in colours]
    if rng.random() < 0.3:
        colours = [1 - c for c in colours]
    return iter(colours)


def _sites(rng: np.random.Generator, motions: Motions, length: float) -> list[Array]:
    """Orbits whose Dirichlet cells have borders about `length` px long in a cell, or a few, as plain tilings have."""
    # n hexagons of the area of a cell have borders of 1.86 of its edge times the root of n
    most = np.clip((length / (1.86 * motions.edge)) ** 2, 1, TILES)
    return draw_sites(rng, motions, float(rng.integers(1, 5) if rng.random() < 0.25 else most))


def _tiles(cells: Sequence[tuple[int, Array]], colours: Sequence[Array]) -> list[Layer]:
    """Dirichlet cells filled, those of an orbit with the same colour; those of every third are left empty."""
    groups: dict[tuple[int, int], list[Array]] = {}
    for orbit, corners in cells:
        if orbit % 3 < 2:
            groups.setdefault((orbit % 3, len(corners)), []).append(corners)
    return [Layer(np.stack(paths), colours[k], filled=True) for (k, _), paths in groups.items()]


def _strokes(
    rng: np.random.Generator, motions: Motions, length: float, ink: Array, colours: Sequence[Array]
) -> list[Layer]:
    """Strokes until all of them together are `length` px long in a cell, the last one cut off; one more, filled."""
    layers = []
    each = motions.edge / len(motions.M) ** 0.5
    for _ in range(12):
        path, closed = stroke(rng, motions, each * float(np.exp(rng.uniform(-0.5, 0.7))))
        orbit = motions.orbit(path)
        whole = np.concatenate([path, path[:1]]) if closed else path
        pieces = np.linalg.norm(np.diff(whole, axis=0), axis=1)
        spare = length / len(orbit)
        if pieces.sum() > spare:
            kept = int(np.searchsorted(np.cumsum(pieces), spare))
            share = (spare - pieces[:kept].sum()) / pieces[kept]
            end = whole[kept] + share * (whole[kept + 1] - whole[kept])
            layers.append(Layer(motions.orbit(np.concatenate([whole[: kept + 1], end[None]])), ink))
            break
        layers.append(Layer(orbit, ink, closed))
        length -= pieces.sum() * len(orbit)
    for colour in colours[:1]:
        path, closed = stroke(rng, motions, each)
        layers += [Layer(motions.orbit(path), colour, filled=True)] if closed else []
    return layers
