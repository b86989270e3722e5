"""Lines and areas drawn on a grid of pixels: exactly, and the ways of common drawing tools, which all round.

Coordinates are px, x to the right and y down, with whole numbers at the middles of pixels. Whatever tool draws them,
the paths of one layer have one colour and cover what lies below, so that their order leaves no mark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Array = NDArray[np.float64]
Shape = tuple[int, int]
Method = Literal["exact", "pillow", "shrunk", "bresenham", "wu", "agg"]
METHODS: tuple[Method, ...] = get_args(Method)


@dataclass(frozen=True)
class Layer:
    """Paths (E, n, 2) of one colour (3,) in [0, 1]: lines, closed or not, or areas where `filled` (then closed)."""

    paths: Array
    colour: Array
    closed: bool = False
    filled: bool = False

    @property
    def segments(self) -> Array:
        """The straight pieces of all paths: (S, 2, 2), start and end."""
        after = np.roll(self.paths, -1, 1)
        pairs = np.stack([self.paths, after], 2)
        return (pairs if self.closed or self.filled else pairs[:, :-1]).reshape(-1, 2, 2)


@dataclass(frozen=True)
class Tool:
    """How lines are drawn: the method, their `width` in px, and what only some methods have.

    `rounded`: Pillow is given whole coordinates, the nearest (else it cuts off what is behind the point); `joint`:
    Pillow fills the corners of wide lines; `scale`: how many times larger the picture is before it is shrunk, by
    `average` or with a bicubic filter; `smooth`: matplotlib's anti-aliasing.
    """

    method: Method
    width: float
    rounded: bool = True
    joint: bool = False
    scale: int = 1
    average: bool = True
    smooth: bool = True


def rasterise(layers: Sequence[Layer], tool: Tool, background: Array, shape: Shape) -> NDArray[np.float32]:
    """Draw the layers, first to last, on a `background` (3,): (3, H, W) float32 in [0, 1]."""
    match tool.method:
        case "pillow":
            return _pixels(_pillow(layers, tool, background, shape))
        case "shrunk":
            large = _pillow(layers, tool, background, shape, tool.scale)
            small = large.reduce(tool.scale) if tool.average else large.resize(shape[::-1], Image.Resampling.BICUBIC)
            return _pixels(small)
        case "agg":
            return _agg(layers, tool, background, shape)
        case "exact" | "bresenham" | "wu":
            image = np.broadcast_to(background[:, None, None], (3, *shape)).astype(np.float32)
            for layer in layers:
                cover = _cover(layer, tool, shape)
                image += cover * (layer.colour[:, None, None].astype(np.float32) - image)
            return image


def _cover(layer: Layer, tool: Tool, shape: Shape) -> NDArray[np.float32]:
    """What share of each pixel the layer covers: (H, W)."""
    segments = layer.segments
    inside = filled(layer.paths, shape) if layer.filled else np.zeros(shape, dtype=bool)
    if tool.method == "exact":
        edge = lines(segments, 0.0 if layer.filled else tool.width, shape)
        return np.where(inside, 1 - edge, edge)
    brush = 1 if layer.filled else max(1, round(tool.width))
    return np.maximum(inside, stepped(np.rint(segments), brush, shape, smooth=tool.method == "wu"))


def lines(segments: Array, width: float, shape: Shape, step: Array | None = None) -> NDArray[np.float32]:
    """Exact anti-aliased lines with round ends: clip((width / 2 - distance) / h + 1/2, 0, 1), largest of all, (H, W).

    `segments` (S, 2, 2) and `width` in px. The grid point in column i and row j lies at ``step @ (i, j)`` px; `step`
    (2, 2) is that of pixels if None. h is the spacing of the grid points, the root of their area.
    """
    step = np.eye(2) if step is None else step
    soft = abs(np.linalg.det(step)) ** 0.5
    reach = width / 2 + soft / 2
    inverse, metric = np.linalg.inv(step), step.T @ step
    walk = _Walk.along(segments @ inverse.T, shape, int(np.ceil(reach * np.linalg.norm(inverse, axis=1).max())))
    # |slope| <= 1 across the line, so that a band this wide holds every point within reach
    longest = max(np.linalg.norm(step @ v) for v in ((1, 0), (0, 1), (1, 1), (1, -1)))
    half = int(np.ceil(reach * longest / soft**2 + 0.5))
    across: Array = np.rint(walk.across)[:, None] + np.arange(-half, half + 1.0)
    g = np.where(walk.steep[:, None, None], metric[::-1, ::-1], metric)[walk.which][:, None]
    dx, dy = (walk.delta[walk.which, None, i] for i in (0, 1))
    x, y = (walk.at - walk.start[walk.which, 0])[:, None], across - walk.start[walk.which, 1, None]
    gx, gy = g[..., 0, 0] * dx + g[..., 0, 1] * dy, g[..., 0, 1] * dx + g[..., 1, 1] * dy
    t = ((gx * x + gy * y) / np.maximum(gx * dx + gy * dy, 1e-12)).clip(0, 1)
    x, y = x - t * dx, y - t * dy
    squared = g[..., 0, 0] * x * x + 2 * g[..., 0, 1] * x * y + g[..., 1, 1] * y * y
    cover = ((width / 2 - np.sqrt(squared.clip(0))) / soft + 0.5).clip(0, 1)
    return walk.painted(across, cover, shape)


def stepped(segments: Array, brush: int, shape: Shape, smooth: bool) -> NDArray[np.float32]:
    """Lines between whole coordinates in steps along their longer axis, with a square brush: (H, W) in [0, 1].

    Bresenham's (1965) take the nearest pixel at each step; `smooth` ones share out between the two nearest (Wu 1991).
    """
    walk = _Walk.along(segments, shape, 0)
    low = np.floor(walk.across) if smooth else np.ceil(walk.across - 0.5)
    share = (walk.across - low)[:, None] if smooth else np.zeros((len(low), 1))
    image = walk.painted(low[:, None], 1 - share, shape)
    if smooth:
        image = np.maximum(image, walk.painted(low[:, None] + 1, share, shape))
    if brush == 1:
        return image
    wide = np.pad(image, (brush // 2, (brush - 1) // 2))
    for size in shape:  # of rows, then of the columns, which the transposition makes rows
        wide = np.max([wide[k : k + size] for k in range(brush)], 0).T
    return wide


@dataclass(frozen=True)
class _Walk:
    """Steps along lines in whole numbers of the axis on which each is longer: the line `which` (T,) is at `across` (T,)
    of the other axis where it is `at` (T,). `steep` (S,) ones go along y; `start`, `delta` (S, 2) have that axis first.
    """

    which: NDArray[np.int64]
    at: Array
    across: Array
    steep: NDArray[np.bool_]
    start: Array
    delta: Array

    @classmethod
    def along(cls, segments: Array, shape: Shape, beyond: int) -> _Walk:
        """From `beyond` steps before the start of every line to as many after its end, within the grid."""
        difference = np.abs(segments[:, 1] - segments[:, 0])
        steep = difference[:, 1] > difference[:, 0]
        turned = np.where(steep[:, None, None], segments[..., ::-1], segments)
        turned = np.where((turned[:, 0, 0] > turned[:, 1, 0])[:, None, None], turned[:, ::-1], turned)
        start, delta = turned[:, 0], turned[:, 1] - turned[:, 0]
        last = np.where(steep, shape[0] - 1, shape[1] - 1)
        first = np.clip(np.floor(start[:, 0] + 1e-9) - beyond, 0, None)
        count = (np.minimum(np.ceil(turned[:, 1, 0] - 1e-9) + beyond, last) - first + 1).clip(0).astype(np.int64)
        which = np.repeat(np.arange(len(segments)), count)
        at = first[which] + np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
        slope = delta[:, 1] / np.where(delta[:, 0] > 1e-12, delta[:, 0], np.inf)
        return cls(which, at, start[which, 1] + slope[which] * (at - start[which, 0]), steep, start, delta)

    def painted(self, across: Array, cover: Array, shape: Shape) -> NDArray[np.float32]:
        """The largest `cover` (T, k) at each grid point (at (T,), across (T, k)): (H, W)."""
        steep = self.steep[self.which][:, None]
        column, row = np.where(steep, across, self.at[:, None]), np.where(steep, self.at[:, None], across)
        seen = (cover > 0) & (column >= 0) & (column < shape[1]) & (row >= 0) & (row < shape[0])
        image = np.zeros(shape[0] * shape[1], dtype=np.float32)
        place = row[seen].astype(np.int64) * shape[1] + column[seen].astype(np.int64)
        np.maximum.at(image, place, cover[seen].astype(np.float32))
        return image.reshape(shape)


def filled(paths: Array, shape: Shape) -> NDArray[np.bool_]:
    """Which grid points lie in any of the closed paths (E, n, 2), none of which crosses itself: (H, W).

    Winding numbers of all of them together, from where their edges cross the grid's rows.
    """
    after = np.roll(paths, -1, 1)
    turns = np.sign((paths[..., 0] * after[..., 1] - paths[..., 1] * after[..., 0]).sum(1))
    start, end = paths.reshape(-1, 2), after.reshape(-1, 2)
    sign = np.repeat(turns, paths.shape[1]) * np.sign(end[:, 1] - start[:, 1])
    first, last = (np.ceil(f(start[:, 1], end[:, 1])).clip(0, shape[0]).astype(int) for f in (np.minimum, np.maximum))
    count = last - first
    which = np.repeat(np.arange(len(start)), count)
    row = first[which] + np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
    slope = (end - start)[which, 0] / (end - start)[which, 1]
    column = np.ceil(start[which, 0] + slope * (row - start[which, 1])).clip(0, shape[1]).astype(int)
    winding = np.zeros((shape[0], shape[1] + 1))
    np.add.at(winding, (row, column), sign[which])
    return np.asarray(np.abs(winding.cumsum(1)[:, :-1]) > 0.5)


def _pillow(layers: Sequence[Layer], tool: Tool, background: Array, shape: Shape, scale: int = 1) -> Image.Image:
    """Pillow's lines and polygons, without anti-aliasing, on `scale` times as many pixels each way."""
    picture = Image.new("RGB", (scale * shape[1], scale * shape[0]), _bytes(background))
    pen = ImageDraw.Draw(picture)
    width = max(1, round(tool.width * scale))
    for layer in layers:
        colour = _bytes(layer.colour)
        paths = (layer.paths + 0.5) * scale - 0.5
        paths = np.rint(paths) if tool.rounded else paths
        if layer.closed and not layer.filled:
            paths = np.concatenate([paths, paths[:, :1]], 1)
        for path in paths.reshape(len(paths), 2 * paths.shape[1]).tolist():
            if layer.filled:
                pen.polygon(path, fill=colour)
            else:
                pen.line(path, fill=colour, width=width, joint="curve" if tool.joint else None)
    return picture


def _agg(layers: Sequence[Layer], tool: Tool, background: Array, shape: Shape) -> NDArray[np.float32]:
    """The Anti-Grain Geometry library as matplotlib uses it."""
    from matplotlib.backends import backend_agg  # slow to import, and few images need it
    from matplotlib.path import Path
    from matplotlib.transforms import Affine2D

    height, width = shape
    agg: Any = backend_agg.RendererAgg(width, height, 72)  # type: ignore[no-untyped-call]
    frame = Layer(np.array([[[-1.0, -1], [width, -1], [width, height], [-1, height]]]), background, filled=True)
    for layer in (frame, *layers):
        pen = agg.new_gc()
        pen.set_antialiased(tool.smooth and layer is not frame)
        pen.set_foreground(tuple(layer.colour))
        pen.set_linewidth(0 if layer.filled else tool.width)
        shut = layer.closed or layer.filled
        corners = np.concatenate([layer.paths, layer.paths[:, :1]], 1) if shut else layer.paths
        codes = np.full(corners.shape[:2], Path.LINETO, dtype=np.uint8)
        codes[:, 0] = Path.MOVETO
        if shut:
            codes[:, -1] = Path.CLOSEPOLY
        upwards = np.stack([corners[..., 0] + 0.5, height - 0.5 - corners[..., 1]], -1).reshape(-1, 2)
        face = tuple(layer.colour) if layer.filled else None
        agg.draw_path(pen, Path(upwards, codes.ravel()), Affine2D(), face)
    return _float(np.asarray(agg.buffer_rgba())[..., :3])


def _bytes(colour: Array) -> tuple[int, int, int]:
    r, g, b = (round(255 * float(c)) for c in colour)
    return r, g, b


def _pixels(picture: Image.Image) -> NDArray[np.float32]:
    return _float(np.asarray(picture))


def _float(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Bytes (H, W, 3) as (3, H, W) in [0, 1]."""
    return pixels.transpose(2, 0, 1).astype(np.float32) / np.float32(255)
