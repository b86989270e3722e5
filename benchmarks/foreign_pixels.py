"""Cells of whole pixels: regions of pictures or noise, or atoms, repeated by flips and turns with upright axes.

Belongs to foreign.py: independently constructed images, used for testing only, never for training or tuning.
"""

from itertools import product

import numpy as np
from foreign_groups import (
    HEXAGONAL,
    SQUARE,
    STEPS,
    Drawn,
    Pattern,
    Random,
    lattice,
    nearest,
    open_site,
    operations,
    orbit,
)
from PIL import Image, ImageDraw
from scipy import ndimage, spatial
from skimage import color, data

PICTURES = ("astronaut", "camera", "coffee", "chelsea", "brick", "grass", "gravel", "coins", "rocket", "retina")
PICTURES += ("immunohistochemistry", "hubble_deep_field", "text", "page", "moon")
UNITS = {"p1": (1, 1), "p2": (2, 1), "pm": (1, 2), "pg": (2, 1), "cmm": (2, 4)}  # rows, columns; else 2 by 2


def texture(rng: Random, n: int) -> np.ndarray:
    """Make an n by n colour picture: smooth noise, patches around random points, or random shapes."""
    kind = rng.integers(3)
    if kind == 0:
        width = rng.uniform(0.03, 0.12) * n
        noise = [ndimage.gaussian_filter(rng.normal(size=(n, n, 3)), (w, w, 0)) * w for w in (width, width / 3)]
        noise = noise[0] + 0.5 * noise[1]
        return np.clip(128 + 60 * noise / noise.std(), 0, 255).astype(np.uint8)
    if kind == 1:
        points, colours = rng.random((rng.integers(15, 60), 2)) * n, rng.integers(0, 256, (60, 3))
        pixels = np.stack(np.meshgrid(*[np.arange(n)] * 2, indexing="ij"), -1)
        return colours[spatial.cKDTree(points).query(pixels)[1]].astype(np.uint8)
    picture = Image.new("RGB", (n, n), tuple(rng.integers(0, 256, 3).tolist()))
    for _ in range(rng.integers(15, 50)):
        corners = rng.random(2) * n + rng.normal(size=(rng.integers(3, 6), 2)) * n / 10
        ImageDraw.Draw(picture).polygon([tuple(c) for c in corners.tolist()], fill=tuple(rng.integers(0, 256, 3)))
    return np.asarray(picture)


def crop(rng: Random, rows: int, columns: int) -> np.ndarray:
    """Cut a region of whole pixels out of a picture, half of the time a photograph at a random scale."""
    scale = rng.uniform(1, 3)
    tall, wide = round(rows * scale), round(columns * scale)
    picture = getattr(data, str(rng.choice(PICTURES)))()
    if rng.random() < 0.5 or min(picture.shape[0] - tall, picture.shape[1] - wide) < 0:
        picture = texture(rng, max(tall, wide))
    picture = picture if picture.ndim == 3 else picture[..., None] * rng.uniform(0.6, 1, 3)
    top, left = (rng.integers(0, limit + 1) for limit in (picture.shape[0] - tall, picture.shape[1] - wide))
    piece = Image.fromarray(picture[top : top + tall, left : left + wide, :3].astype(np.uint8))
    return np.asarray(piece.resize((columns, rows), Image.Resampling.BOX))


def blocks(group: str, u: np.ndarray) -> np.ndarray:
    """Build the translation cell out of a region of whole pixels by flips, quarter turns and half-cell glides."""
    rows = u.shape[0]
    i, j = np.indices(u.shape[:2])
    if group in ("p4m", "p4g"):  # a mirror on the diagonal through the centre of rotation, or on the other one
        keep, mirrored = (i >= j, u.swapaxes(0, 1)) if group == "p4m" else (i + j < rows, np.rot90(u, 2).swapaxes(0, 1))
        u = np.where(keep[..., None], u, mirrored)
    if group in ("pmg", "cmm"):
        u = np.concatenate((u, np.rot90(u, 2)), axis=0 if group == "pmg" else 1)
    across, down, turned, same = u[:, ::-1], u[::-1], np.rot90(u, 2), u
    pieces = {
        "p1": [[same]],
        "p2": [[same], [turned]],
        "pm": [[same, across]],
        "pg": [[same], [across]],
        "cm": [[same, across], [across, same]],
        "pmm": [[same, across], [down, turned]],
        "pmg": [[same, across]],
        "pgg": [[same, down], [across, turned]],
        "cmm": [[same, across], [across, same]],
        "p4m": [[same, across], [down, turned]],
    }
    if group in ("p4", "p4g"):
        pieces[group] = [[same, np.rot90(u, -1)], [np.rot90(u), turned]]
    return np.concatenate([np.concatenate(row, axis=1) for row in pieces[group]], axis=0)


def hexagonal_cell(group: str, rng: Random, source: np.ndarray, a: int) -> np.ndarray:
    """Fill an a by sqrt(3) a cell: of a pixel's copies, the one nearest a seed says where to look in the source."""
    b = round(a * np.sqrt(3))
    y, x = (np.indices((b, a)) + 0.5) / np.array([b, a])[:, None, None]
    basis = a * np.array([[1, 0], [-0.5, np.sqrt(3) / 2]])
    seed = open_site(group, basis, rng, 8)
    best, where = np.full((b, a), np.inf), np.zeros((b, a, 2))
    for (turn, shift), step in product(operations(group), STEPS):
        gap = np.stack((x + y, 2 * y), -1) @ turn.T + shift - seed
        gap = (gap - np.round(gap) + step) @ basis
        closer = (length := np.round((gap**2).sum(-1), 6)) < best
        best[closer], where[closer] = length[closer], gap[closer]
    rows, columns = np.moveaxis(np.floor(where + np.array(source.shape[:2]) / 2).astype(int), -1, 0)
    return source[rows, columns]


def cell_pattern(group: str, cell: np.ndarray, edge: float = 0.5) -> Pattern:
    """Read a rectangular cell of pixels at fractional coordinates; edge is where a pixel's centre lies."""
    origin = 0.25 if group == "pmg" and edge else 0  # blocks put the mirror, not the twofold centre, at the corner

    def pattern(points: np.ndarray) -> np.ndarray:
        x, y = points[..., 0] + origin, points[..., 1]
        x, y = (x - y / 2, y / 2) if group in HEXAGONAL else (x, y)
        where = [y * cell.shape[0] - edge, x * cell.shape[1] - edge]
        layers = [ndimage.map_coordinates(c, where, order=1, mode="grid-wrap") for c in np.moveaxis(cell / 255, -1, 0)]
        return np.stack(layers, -1)

    return pattern


def laid(rng: Random, cell: np.ndarray, size: int) -> np.ndarray:
    """Lay a cell of pixels side by side, cut out a random view and turn it by a multiple of 90 degrees."""
    view = np.tile(np.round(cell).astype(np.uint8), (*[size // n + 2 for n in cell.shape[:2]], 1))
    top, left = rng.integers(0, cell.shape[:2])
    return np.rot90(view[top : top + size, left : left + size], rng.integers(4))


def pixel_lattice(group: str, rng: Random, size: int, power: float) -> tuple[float, float]:
    """Draw width and height of an upright cell in pixels; powers below 1 bring it nearer to a square."""
    basis = lattice({"p1": "pm", "p2": "pm"}.get(group, group), rng, size, (5, 45))
    area, stretch = np.sqrt(np.linalg.det(basis)), (basis[1, 1] / basis[0, 0]) ** (power / 2)
    return area / stretch, area * stretch


def tiling(group: str, rng: Random, size: int, source: str = "picture") -> Drawn:
    """Fill a region with a picture or with noise and build the cell on whole pixels, the axes along the edges."""
    if group in HEXAGONAL:
        a = round(lattice(group, rng, size, (5, 45))[0, 0])
        rows = columns = 2 * a + 2
    else:
        wide, high = pixel_lattice(group, rng, size, 1 if source == "picture" else rng.choice([0, 0.25], p=[0.7, 0.3]))
        down, along = UNITS.get(group, (2, 2))
        rows, columns = round(high / down), round(wide / along)
        rows = columns if group in SQUARE else rows
    if source == "picture":
        region = crop(rng, rows, columns)
    else:
        region = rng.integers(0, 256, (rows, columns, 3 if source == "rgb" else 1)).astype(np.uint8)
    cell = hexagonal_cell(group, rng, region, a) if group in HEXAGONAL else blocks(group, region)
    return cell_pattern(group, cell), lambda: laid(rng, cell, size)


def steps_within(radius: float, basis: np.ndarray) -> np.ndarray:
    """Give the lattice steps at which a disc around a site can reach a point less than half a cell away from it."""
    reach = radius * np.linalg.norm(np.linalg.inv(basis), axis=0)
    return STEPS[(np.abs(STEPS) - 0.5 < reach).all(1)]


def spots(sites: np.ndarray, heights: np.ndarray, width: float, basis: np.ndarray) -> Pattern:
    """Add up Gaussian spots of given heights (sites, channels) on the sites of a cell."""

    def pattern(points: np.ndarray) -> np.ndarray:
        total = np.zeros((*points.shape[:-1], heights.shape[1]))
        for site, height in zip(sites, heights, strict=True):
            gap = points - site
            gap -= np.round(gap)
            for step in steps_within(5 * width, basis):
                square = (((gap + step) @ basis) ** 2).sum(-1) / width**2
                near = square < 25
                total[near] += np.exp(-square[near] / 2)[:, None] * height
        return total

    return pattern


def species(rng: Random, kinds: np.ndarray, colour: bool) -> np.ndarray:
    """Give every kind of atom a colour or a height."""
    if not colour:
        return np.array([1.0, rng.uniform(0.35, 0.7), rng.uniform(0.2, 0.5)])[kinds][:, None]
    hue = rng.random() + np.arange(3) / 3
    return color.hsv2rgb(np.stack((hue % 1, rng.uniform(0.5, 1, 3), [1, 0.8, 0.6]), -1))[kinds]


def tiling_atoms(group: str, rng: Random, size: int) -> Drawn | None:
    """Put two to five atoms on whole pixels and repeat them in an upright cell of whole pixels."""
    if group in HEXAGONAL:
        wide = lattice(group, rng, size, (5, 40))[0, 0]
        high, copies = wide * np.sqrt(3), [[0, 0], [0.5, 0.5]]
    else:
        (wide, high), copies = pixel_lattice(group, rng, size, 1), [[0, 0]]
    shape = 4 * np.round(np.array([wide, high]) / 4).astype(int)
    basis, found, kinds = np.diag(shape).astype(float), [], []
    order = len(orbit(group, np.array([0.123, 0.271])))
    for _ in range(rng.integers(2, 6 if order < 6 else 4)):
        site = rng.integers(0, shape) / shape
        site = np.round(site * 4) / 4 if rng.random() < 0.2 else site
        sites = orbit(group, site)
        if group in HEXAGONAL:
            sites = np.stack((sites[:, 0] - sites[:, 1] / 2, sites[:, 1] / 2), -1)
        pixels = np.concatenate([np.round((sites + copy) * shape) % shape for copy in copies])
        found.append(np.unique(pixels, axis=0) / shape)
        kinds += [rng.integers(2)] * len(found[-1])
    sites = np.concatenate(found)
    width = rng.uniform(0.1, 0.22) * np.sqrt(wide * high / len(sites))
    if width < 1.1 or nearest(sites, basis) < 2.2 * width or len(np.unique(sites, axis=0)) < len(sites):
        return None
    heights = species(rng, np.array(kinds), rng.random() < 0.5)
    y, x = np.indices(shape[::-1]) / shape[::-1, None, None]
    cell = spots(sites, heights, width, basis)(np.stack((x, y), -1))
    cell = np.round(255 * np.clip(cell / cell.max(), 0, 1))
    return cell_pattern(group, cell, 0), lambda: laid(rng, cell, size)
