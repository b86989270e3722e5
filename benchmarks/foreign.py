"""Periodic images of all 17 plane groups, constructed independently of the package.

Independently constructed images, used for testing only, never for training or tuning. Nothing here shares code
with the package's own generators. Every image follows from its kind, group, index and seed alone. The kinds are

tiling            a region of a picture turned and flipped on whole pixels (as Guo, Qin and Agar do), axes upright
tiling-noise      the same with noise, mostly in square cells, in grey; tiling-noise-rgb in colour
tiling-atoms      Gaussian spots on whole pixels, axes upright
waves             random plane waves of low order averaged over the operations, at any angle
layers            atoms moved off the special positions of a higher symmetry, at any angle
ornaments         drawn motifs and letters printed on a flat ground, at any angle

python benchmarks/foreign.py --kind waves --per-group 10 --seed 0 --out DIR    writes DIR/<group>/<index>.png
python benchmarks/foreign.py --sheet FILE                                      draws all groups by all kinds
"""

import argparse
from itertools import product
from pathlib import Path

import numpy as np
from foreign_groups import (
    CENTRED,
    GROUPS,
    HEXAGONAL,
    Drawn,
    Pattern,
    Random,
    lattice,
    nearest,
    open_site,
    operations,
    orbit,
    verified,
)
from foreign_pixels import species, spots, steps_within, tiling, tiling_atoms
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage


def seen(rng: Random, pattern: Pattern, basis: np.ndarray, size: int, fine: int = 1) -> np.ndarray:
    """Look at a pattern at a random angle and position; fine is the number of samples along a pixel's edge."""
    turn, n = rng.uniform(0, 2 * np.pi), size * fine
    y, x = np.indices((n, n)) / fine
    places = np.stack((x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)), -1)
    view = pattern(places @ np.linalg.inv(basis) + rng.random(2))
    return view.reshape(size, fine, size, fine, -1).mean((1, 3))


def stretched(view: np.ndarray) -> np.ndarray:
    """Stretch values to 8 bits."""
    low, high = np.percentile(view, (0.2, 99.8))
    return np.round(255 * np.clip((view - low) / (high - low), 0, 1)).astype(np.uint8)


def waves(group: str, rng: Random, size: int) -> Drawn:
    """Add up random plane waves of low order, averaged over the operations; some are bent by a saturating curve."""
    basis = lattice(group, rng, size, (5, 50))
    reciprocal = np.linalg.inv(basis).T * np.sqrt(np.linalg.det(basis))
    channels, reach, bent = rng.choice([1, 3]), rng.uniform(1.9, 3.6), rng.random() < 0.3
    total: dict[tuple[int, int], np.ndarray] = {}
    for wave in product(range(-6, 7), repeat=2):
        length = np.linalg.norm(wave @ reciprocal)
        if 0.1 < length < reach * (1.4 if group in CENTRED else 1):
            amplitude = rng.normal(size=(channels, 2)) @ [1, 1j] * np.exp(-((1.3 * length / reach) ** 2))
            for turn, shift in operations(group):
                key = tuple(np.round(wave @ turn).astype(int).tolist())
                total[key] = total.get(key, 0) + amplitude * np.exp(2j * np.pi * (wave @ shift))
    scale = np.sqrt(sum(np.abs(a) ** 2 for a in total.values()).max() / 2)

    def pattern(points: np.ndarray) -> np.ndarray:
        value = sum((np.exp(2j * np.pi * (points @ k))[..., None] * a).real for k, a in total.items()) / scale
        return np.tanh(2 * value) if bent else value

    return pattern, lambda: stretched(seen(rng, pattern, basis, size))


def layers(group: str, rng: Random, size: int) -> Drawn | None:
    """Move atoms off the special positions of a higher symmetry by 6 to 15 % of the cell, as the group allows."""
    basis = lattice(group, rng, size, (20, 72))
    unit = np.sqrt(np.linalg.det(basis) / (2 if group in CENTRED else 1))
    places = [[0, 0], [1 / 2, 1 / 2], [1 / 2, 0], [0, 1 / 2]]
    thirds = [[1 / 3, 2 / 3], [2 / 3, 1 / 3]]
    places += thirds if group in HEXAGONAL else [[1 / 4, 1 / 4], [1 / 4, 3 / 4], [1 / 4, 0], [0, 1 / 4], *thirds[:1]]
    found, kinds = [], []
    for place in rng.permutation(np.array(places))[: rng.integers(2, 5)]:
        angle = rng.uniform(0, 2 * np.pi)
        move = rng.uniform(0.06, 0.15) * unit * np.array([np.cos(angle), np.sin(angle)]) @ np.linalg.inv(basis)
        gaps = [(turn, turn @ place + shift - place) for turn, shift in operations(group)]
        if rng.random() < 0.7:  # stays on its special position, or moves along the mirror it sits on
            move = np.mean([turn @ move for turn, gap in gaps if np.abs(gap - np.round(gap)).max() < 1e-6], axis=0)
        found.append(orbit(group, place + move))
        kinds += [rng.integers(3)] * len(found[-1])
    sites = np.concatenate(found)
    width = rng.uniform(0.14, 0.24) * np.sqrt(np.linalg.det(basis) / len(sites))
    if width < 1.1 or nearest(sites, basis) < max(2 * width, 0.13 * unit) or len(np.unique(sites, axis=0)) < len(sites):
        return None
    pattern = spots(sites, species(rng, np.array(kinds), rng.random() < 0.25), width, basis)

    def view() -> np.ndarray:
        clean = seen(rng, pattern, basis, size)
        return stretched(clean + rng.uniform(0, 0.06) * rng.normal(size=clean.shape))

    return pattern, view


def motif(rng: Random, n: int = 192) -> np.ndarray:
    """Draw polygons, arcs and letters into a disc; gives what each colour lets through, 1 outside."""
    stamp = Image.new("RGB", (n, n), "white")
    draw = ImageDraw.Draw(stamp)
    inks = [tuple(rng.integers(0, 200, 3).tolist()) for _ in range(3)]
    for shape in rng.permutation(["polygon", "arc", "letter", "polygon"])[: rng.integers(2, 5)]:
        ink, (x, y), r = inks[rng.integers(3)], rng.uniform(0.35, 0.65, 2) * n, rng.uniform(0.15, 0.35) * n
        start = rng.uniform(0, 360)
        if shape == "polygon":
            angles = np.radians(start) + np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 7)))
            radii = r * rng.uniform(0.5, 1.3, len(angles))
            draw.polygon(list(zip(x + radii * np.cos(angles), y + radii * np.sin(angles), strict=True)), fill=ink)
        elif shape == "arc":
            ends = start, start + rng.uniform(60, 270)
            draw.arc([x - r, y - r, x + r, y + r], *ends, fill=ink, width=int(rng.uniform(8, 20)))
        else:
            font = ImageFont.load_default(rng.uniform(0.5, 0.9) * n)
            draw.text((x, y), str(rng.choice(list("FGJLPQR2457hkay&?"))), fill=ink, font=font, anchor="mm")
    y, x = np.indices((n, n)) - (n - 1) / 2
    return np.where((np.hypot(x, y) < n / 2 - 2)[..., None], np.asarray(stamp) / 255, 1.0)


def ornaments(group: str, rng: Random, size: int) -> Drawn:
    """Print motifs on a flat ground at all positions the group gives them; where prints overlap, inks multiply."""
    basis = lattice(group, rng, size, (5, 40))
    own, ground = operations(group), rng.uniform(0.75, 1, 3)
    inverted = rng.random() < 0.25
    prints = []
    for _ in range(rng.integers(1, 4) if len(own) < 4 else rng.integers(1, 3)):
        radius = rng.uniform(0.5, 0.8) * np.sqrt(np.linalg.det(basis) / len(own))
        prints.append((motif(rng), open_site(group, basis, rng, 4), min(radius, 0.12 * size)))

    def pattern(points: np.ndarray) -> np.ndarray:
        view = np.broadcast_to(ground, (*points.shape[:-1], 3)).copy()
        for (stamp, site, radius), (turn, shift) in product(prints, own):
            gap = points @ turn.T + shift - site
            gap -= np.round(gap)
            for step in steps_within(radius, basis):
                place = (gap + step) @ basis
                inside = (place**2).sum(-1) < radius**2
                pixels = ((place[inside] / radius + 1) / 2 * (len(stamp) - 1)).T
                through = [ndimage.map_coordinates(stamp[..., c], pixels, order=1, cval=1) for c in range(3)]
                view[inside] *= np.stack(through, -1)
        return 1 - view if inverted else view

    return pattern, lambda: np.round(255 * seen(rng, pattern, basis, size, 2)).astype(np.uint8)


KINDS = {
    "tiling": tiling,
    "tiling-noise": lambda *given: tiling(*given, "grey"),
    "tiling-noise-rgb": lambda *given: tiling(*given, "rgb"),
    "tiling-atoms": tiling_atoms,
    "waves": waves,
    "layers": layers,
    "ornaments": ornaments,
}


def image(kind: str, group: str, index: int, seed: int = 0, size: int = 256) -> np.ndarray:
    """Draw one image, grey (size, size) or colour (size, size, 3), again until its group is beyond doubt."""
    rng = np.random.default_rng([seed, list(KINDS).index(kind), GROUPS.index(group), index])
    for _ in range(2000):
        drawn = KINDS[kind](group, rng, size)
        if drawn and verified(group, drawn[0], 0.5 if "noise" in kind else 0.9):
            view = drawn[1]()
            if view.std() > 12:
                return view[..., 0] if view.shape[-1] == 1 else view
    raise RuntimeError(f"no {kind} with the group {group} in 2000 draws")


def sheet(seed: int, size: int, side: int = 200) -> Image.Image:
    """Draw one image of every kind in every group, groups in rows."""
    page = Image.new("RGB", (60 + side * len(KINDS), 20 + side * len(GROUPS)), "white")
    draw = ImageDraw.Draw(page)
    for (column, kind), (row, group) in product(enumerate(KINDS), enumerate(GROUPS)):
        left, top = 60 + side * column, 20 + side * row
        draw.text((left, 4), kind, fill="black")
        draw.text((6, top + side // 2), group, fill="black", font_size=18)
        page.paste(Image.fromarray(image(kind, group, 0, seed, size)).resize((side - 4, side - 4)), (left, top))
    return page


def main() -> None:
    """Write images of one kind, or a sheet of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=list(KINDS))
    parser.add_argument("--per-group", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--sheet", type=Path)
    given = parser.parse_args()
    if given.sheet:
        sheet(given.seed, given.size).save(given.sheet)
    if given.kind and given.out:
        for group, index in product(GROUPS, range(given.per_group)):
            (given.out / group).mkdir(parents=True, exist_ok=True)
            drawn = image(given.kind, group, index, given.seed, given.size)
            Image.fromarray(drawn).save(given.out / group / f"{index}.png")


if __name__ == "__main__":
    main()
