"""The 17 plane groups as general positions, cells to draw them in, and a check that a pattern has no more symmetry.

Belongs to foreign.py: independently constructed images, used for testing only, never for training or tuning.
"""

from collections.abc import Callable
from itertools import product

import numpy as np

Operation = tuple[np.ndarray, np.ndarray]
Pattern = Callable[[np.ndarray], np.ndarray]  # fractional coordinates (..., 2) to values (..., channels)
Drawn = tuple[Pattern, Callable[[], np.ndarray]]  # a pattern, and what gives the image of it
Random = np.random.Generator

# General positions of International Tables, volume A; in centred cells those of (0, 0) and (1/2, 1/2).
POSITIONS = {
    "p1": "x,y",
    "p2": "x,y -x,-y",
    "pm": "x,y -x,y",
    "pg": "x,y -x,y+1/2",
    "cm": "x,y -x,y",
    "pmm": "x,y -x,-y -x,y x,-y",
    "pmg": "x,y -x,-y -x+1/2,y x+1/2,-y",
    "pgg": "x,y -x,-y -x+1/2,y+1/2 x+1/2,-y+1/2",
    "cmm": "x,y -x,-y -x,y x,-y",
    "p4": "x,y -x,-y -y,x y,-x",
    "p4m": "x,y -x,-y -y,x y,-x -x,y x,-y y,x -y,-x",
    "p4g": "x,y -x,-y -y,x y,-x -x+1/2,y+1/2 x+1/2,-y+1/2 y+1/2,x+1/2 -y+1/2,-x+1/2",
    "p3": "x,y -y,x-y -x+y,-x",
    "p3m1": "x,y -y,x-y -x+y,-x -y,-x -x+y,y x,x-y",
    "p31m": "x,y -y,x-y -x+y,-x y,x x-y,-y -x,-x+y",
    "p6": "x,y -y,x-y -x+y,-x -x,-y y,-x+y x-y,x",
    "p6m": "x,y -y,x-y -x+y,-x -x,-y y,-x+y x-y,x -y,-x -x+y,y x,x-y y,x x-y,-y -x,-x+y",
}
GROUPS = tuple(POSITIONS)
CENTRED = ("cm", "cmm")
SQUARE = ("p4", "p4m", "p4g")
HEXAGONAL = ("p3", "p3m1", "p31m", "p6", "p6m")
RASTER = 120  # points along each axis of the cell in the check; halves, thirds, quarters and fifths fall on points
STEPS = np.array(list(product((-1, 0, 1), repeat=2)))
MARGIN = 0.05  # least share of the variance that averaging over one extra operation must take away


def parse(position: str) -> Operation:
    """Read one general position such as "-x+y,y+1/2" as a matrix and a translation."""
    parts = [dict.fromkeys("xy1", 0.0), dict.fromkeys("xy1", 0.0)]
    for part, text in zip(parts, position.split(","), strict=True):
        for term in text.replace("-", "+-").split("+"):
            if term:
                part[term[-1] if term[-1] in "xy" else "1"] += 0.5 if term == "1/2" else -1 if term[0] == "-" else 1
    return np.array([[p["x"], p["y"]] for p in parts]), np.array([p["1"] for p in parts])


def operations(group: str) -> list[Operation]:
    """Give all operations of a group in its conventional cell, centring included."""
    found = [parse(position) for position in POSITIONS[group].split()]
    return found + [(turn, shift + 0.5) for turn, shift in found] if group in CENTRED else found


def lattice(group: str, rng: Random, size: int, cells: tuple[float, float]) -> np.ndarray:
    """Draw a conventional cell in pixels, rows a and b, for a number of primitive cells in a square view."""
    while True:
        area = size**2 / np.exp(rng.uniform(*np.log(cells))) * (2 if group in CENTRED else 1)
        ratio, angle = rng.choice([1.0, np.exp(rng.uniform(-0.5, 0.5))], p=[0.25, 0.75]), 90.0
        if group in ("p1", "p2"):
            angle = rng.choice([90.0, rng.uniform(66, 114)], p=[0.3, 0.7])
        elif group in SQUARE or group in HEXAGONAL:
            ratio, angle = 1.0, 120.0 if group in HEXAGONAL else 90.0
        turn = np.radians(angle)
        a = np.sqrt(area / ratio / np.sin(turn))
        basis = np.array([[a, 0], [a * ratio * np.cos(turn), a * ratio * np.sin(turn)]])
        rhombus_of_60 = group in CENTRED and abs(abs(np.log(ratio)) - np.log(3) / 2) < 0.1
        if np.linalg.norm(basis, axis=1).max() < 0.55 * size and not rhombus_of_60:
            return basis


def orbit(group: str, site: np.ndarray, tolerance: float = 1e-6) -> np.ndarray:
    """Give all different sites of one cell that the group makes of one."""
    sites: list[np.ndarray] = []
    for turn, shift in operations(group):
        new = (turn @ site + shift) % 1
        if all(np.abs(new - old - np.round(new - old)).max() > tolerance for old in sites):
            sites.append(new)
    return np.array(sites)


def nearest(sites: np.ndarray, basis: np.ndarray) -> float:
    """Give the smallest distance between two sites of a periodic set, or between a site and its own copies."""
    gaps = sites[:, None, None] - sites[None, :, None]
    gaps = gaps - np.round(gaps) + STEPS
    lengths = np.linalg.norm(gaps @ basis, axis=-1)
    return lengths[lengths > 1e-6 * np.abs(basis).max()].min()


def open_site(group: str, basis: np.ndarray, rng: Random, tries: int) -> np.ndarray:
    """Draw a general position that lies far from its own copies: the best of some tries."""
    return max((rng.random(2) for _ in range(tries)), key=lambda site: nearest(orbit(group, site, 0), basis))


def correlations(cell: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Correlate a cell with itself turned by a matrix, for every translation on the raster."""
    points = np.stack(np.meshgrid(*[np.arange(RASTER)] * 2, indexing="ij"), -1)
    i, j = np.moveaxis((points @ turn.T.astype(int)) % RASTER, -1, 0)
    first, second = np.fft.fft2(cell), np.fft.fft2(cell[i, j])  # second: f(W x)
    return np.fft.ifft2(np.conj(first) * second).real / (cell**2).sum()  # at s: the mean of f(x) f(W x + W s)


def blurred(pattern: Pattern, width: float, hexagonal: bool) -> np.ndarray:
    """Sample one cell in grey, subtract the mean and blur it by a share of the cell, equally in all directions."""
    axis = np.arange(RASTER) / RASTER
    cell = pattern(np.stack(np.meshgrid(axis, axis, indexing="ij"), -1)).mean(-1)
    h, k = np.meshgrid(*[np.fft.fftfreq(RASTER, 1 / RASTER)] * 2, indexing="ij")
    square = (h * h + k * k + h * k) * 4 / 3 if hexagonal else h * h + k * k
    spectrum = np.fft.fft2(cell - cell.mean()) * np.exp(-2 * (np.pi * width) ** 2 * square)
    return np.fft.ifft2(spectrum).real


def verified(group: str, pattern: Pattern, least: float = 0.9) -> bool:
    """Tell whether a pattern has all operations of its group, and no other of a supergroup or a finer lattice.

    Extra operations are the rotations and mirrors of the square or the hexagonal lattice (of both for p1 and p2, even
    where the metric forbids them) with any translation, and translations by halves, thirds, quarters and fifths. Grey
    values decide, in fine and in coarse detail. Averaging over one of them takes (1 - c) / 2 of the variance away.
    Own operations must correlate by at least `least` in coarse detail: turned pixels of noise do not fit quite.
    """
    own = operations(group)
    inside = {tuple(turn.ravel()) for turn, _ in own}
    names = (() if group in HEXAGONAL else ("p4m",)) + (("p6m",) if group in (*HEXAGONAL, "p1", "p2") else ())
    turns = {tuple(turn.ravel()): turn for name in names for turn, _ in operations(name)}
    centring = {(0.0, 0.0), (0.5, 0.5)} if group in CENTRED else {(0.0, 0.0)}
    finer = {(i / n, j / n) for n in (2, 3, 4, 5) for i in range(n) for j in range(n)} - centring
    worst = 1.0
    for width in (0.03, 0.008):
        cell = blurred(pattern, width, group in HEXAGONAL)
        if cell.std() < 0.01:
            return False
        if width == 0.03:
            for turn, shift in own:
                i, j = np.round(np.linalg.solve(turn, shift) * RASTER).astype(int) % RASTER
                worst = min(worst, correlations(cell, turn)[i, j])
        shifts = correlations(cell, np.eye(2))
        found = [correlations(cell, turn).max() for key, turn in turns.items() if key not in inside]
        found += [shifts[round(x * RASTER) % RASTER, round(y * RASTER) % RASTER] for x, y in finer]
        if worst < least or (worst - max(found)) / 2 < MARGIN:
            return False
    return True
