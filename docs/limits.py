"""Images at and beyond the limits, and what `hier predict` answers for each: `limits.jpg`, for the page limits.

    python docs/limits.py [FILE]

Each image is made here, written to a file and given to the command. Nothing is selected afterwards.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hier.datasets import PatternDataset
from hier.datasets.textures import smooth_noise
from hier.hierarchy import HierError
from matplotlib.font_manager import findfont
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from skimage.transform import warp

from hier.cli.app import app

Array = NDArray[np.float64]
SIZE, COLUMNS, TILE, GAP, CAPTION = 256, 6, 180, 14, 54  # px
RIGHT, WRONG, INK, GREY = "#1b7f3b", "#c02020", "#111111", "#5f6368"
LARGEST = 400_000  # bytes


@dataclass(frozen=True)
class Case:
    """An image (H, W) or (H, W, 3) in [0, 1], what is true of it, and the correct answers."""

    title: str
    truth: str
    right: tuple[str, ...]
    image: Array


def atoms(group: str, cells: float, size: int = SIZE, seed: int = 4) -> Array:
    """A pattern of atoms with about `cells` primitive cells in view."""
    dataset = PatternDataset("atoms", seed, size, groups=(group,), cells=(0.97 * cells, 1.03 * cells))
    return np.asarray(dataset.batch([0])[0].permute(1, 2, 0), dtype=float)


def spots(a: float, b: float, motif: list[tuple[float, float, float, float]]) -> Array:
    """Spots (x, y in fractions of a and b, radius in px, height) on grey, on a slightly rotated rectangular lattice."""
    y, x = np.mgrid[:SIZE, :SIZE]
    c, s = np.cos(0.3), np.sin(0.3)
    u, v = (c * x + s * y) / a, (c * y - s * x) / b
    total = np.full((SIZE, SIZE), 0.3)
    for at, up, radius, height in motif:
        du, dv = (t - np.round(t) for t in (u - at, v - up))
        total += height * np.exp(-0.5 * ((a * du) ** 2 + (b * dv) ** 2) / radius**2)
    return total


def waves(angles: Array, length: float) -> Array:
    """Plane waves of one length in these directions (degrees), added."""
    y, x = np.mgrid[:SIZE, :SIZE]
    t = np.radians(angles)[:, None, None]
    total: Array = np.cos(2 * np.pi / length * (x * np.cos(t) + y * np.sin(t))).sum(0)
    return 0.5 + 0.4 * total / len(angles)


def noisy(times: float) -> Array:
    """p4m under noise of `times` its standard deviation."""
    image = atoms("p4m", 100).mean(-1)
    image = (image - image.mean()) / image.std()
    return np.clip(0.5 + 0.25 / times * image + 0.25 * np.random.default_rng(1).standard_normal(image.shape), 0, 1)


def resized(image: Array, width: int, height: int) -> Array:
    """The image at another size, averaged over what a px covers."""
    picture = Image.fromarray((255 * image).round().astype(np.uint8))
    return np.asarray(picture.resize((width, height), Image.Resampling.BOX)) / 255


def bent(image: Array, source: Callable[[Array, Array], tuple[Array, Array]]) -> Array:
    """The middle of an image, each px (x, y from the middle) read from where `source` says."""

    def at(points: Array) -> Array:
        half = np.array(image.shape[1::-1]) / 2
        x, y = (points - SIZE / 2).T
        return np.stack(source(x, y), 1) + half

    return np.asarray(warp(image, at, output_shape=(SIZE, SIZE), order=3, mode="reflect")).clip(0, 1)


def beside(left: Array, right: Array, where: Array) -> Array:
    """`left` where it is true, `right` elsewhere."""
    return np.where(where[..., None], left, right)


def cases() -> list[Case]:
    """All cases."""
    y, x = np.mgrid[:SIZE, :SIZE]
    noise = np.clip(0.5 + 0.2 * smooth_noise(np.random.default_rng(3), 2.0, 1, SIZE)[0], 0, 1)
    noise = np.repeat(np.asarray(noise, dtype=float)[..., None], 3, -1)
    pair = [(0.3, 0.25, 3.0, 0.5), (0.0, 0.7, 4.0, 0.4)]
    motif = [(0.12, 0.08, 3.2, 0.3), (0.3, 0.2, 2.4, 0.25), (0.1, 0.3, 2.0, 0.2)]
    swapped = [(-u, v + 0.5, r, -h) for u, v, r, h in motif]
    hexagon = np.array([0.0, 60.0, 120.0])
    return [
        Case("9 cells in view", "p4g", ("p4g",), atoms("p4g", 9)),
        Case("2 cells in view", "p4g", ("p4g",), atoms("p4g", 9)[:121, :121]),
        Case("cells of 64 px²", "p4m", ("p4m",), resized(atoms("p4m", 256, 512), 128, 128)),
        Case("cells of 20 px²", "p4m", ("p4m",), resized(atoms("p4m", 820, 512), 128, 128)),
        Case("noise 3 x signal", "p4m", ("p4m",), noisy(3)),
        Case("noise 10 x signal", "p4m", ("p4m",), noisy(10)),
        Case("quasicrystal", "no repeat", ("none",), waves(36.0 * np.arange(5), 16)),
        Case("moiré, 7 degrees", "no repeat", ("none",), (waves(hexagon, 12) + waves(hexagon + 7, 12)) / 2),
        Case("stripes", "one direction only", ("none",), waves(np.array([20.0]), 17)),
        Case("two domains", "p6, p4m: see hier map", (), beside(atoms("p6", 150), atoms("p4m", 150), x < SIZE / 2)),
        Case("a quarter is crystal", "p6, else noise", ("p6",), beside(atoms("p6", 150), noise, (x < 128) & (y < 128))),
        Case("perspective", "p4m before", ("p4m",), bent(
            atoms("p4m", 400, 512), lambda x, y: (x * (1 + 0.0016 * y), y * (1 + 0.0008 * y)))),
        Case("curved, 8 px", "p6m before", ("p6m",), bent(
            atoms("p6m", 400, 512), lambda x, y: (x + 8 * np.sin(y / 60), y + 8 * np.sin(x / 45)))),
        Case("pixels 10 % too wide", "p4m before", ("p4m",), resized(atoms("p4m", 120), 282, SIZE)),
        Case("a spot 3 % lower", "p1, nearly pm", ("p1",), spots(26, 36, [*pair, (-0.3, 0.25, 3.0, 0.485)])),
        Case("a spot 20 % lower", "p1", ("p1",), spots(26, 36, [*pair, (-0.3, 0.25, 3.0, 0.4)])),
        Case("every other 5 % lower", "pmm, nearly p4m", ("pmm",), spots(
            44, 22, [(0, 0, 4.0, 0.5), (0.5, 0, 4.0, 0.475)])),
        Case("a glide swaps colours", "p1; with colours pg", ("p1",), spots(34, 48, motif + swapped)),
    ]  # fmt: skip


def answers(images: list[Case]) -> list[tuple[str, float]]:
    """The answer of `hier predict` to each: the group, or "none", and its probability."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"{k:02}.png") for k in range(len(images))]
        for file, case in zip(files, images, strict=True):
            Image.fromarray((255 * case.image.clip(0, 1)).round().astype(np.uint8)).save(file)
        table = Path(folder, "answers.jsonl")
        app(["predict", *map(str, files), "--jsonl", str(table)], standalone_mode=False)
        rows = {Path(row["file"]).name: row for row in map(json.loads, table.read_text(encoding="utf-8").splitlines())}
    found = []
    for file in files:
        row = rows[file.name]
        if row.get("error"):
            raise HierError(f"{file.name}: {row['error']}")
        periodic = row["periodic"]
        found.append((row["group"], row["probability"]) if periodic else ("none", 1 - row["periodic_probability"]))
    return found


def sheet(images: list[Case], predicted: list[tuple[str, float]]) -> Image.Image:
    """All cases, with what is true and what was predicted."""
    rows = -(-len(images) // COLUMNS)
    whole = Image.new("RGB", (COLUMNS * (TILE + GAP) + GAP, rows * (TILE + CAPTION + GAP) + GAP), "white")
    draw, font = ImageDraw.Draw(whole), ImageFont.truetype(findfont("DejaVu Sans"), 12)
    for k, (case, (group, p)) in enumerate(zip(images, predicted, strict=True)):
        left, top = GAP + k % COLUMNS * (TILE + GAP), GAP + k // COLUMNS * (TILE + CAPTION + GAP)
        picture = Image.fromarray((255 * case.image.clip(0, 1)).round().astype(np.uint8)).convert("RGB")
        scale = TILE / max(picture.size)
        size = (round(scale * picture.width), round(scale * picture.height))
        whole.paste(picture.resize(size, Image.Resampling.LANCZOS), (left, top + TILE - size[1]))
        draw.text((left, top + TILE + 4), case.title, INK, font)
        draw.text((left, top + TILE + 20), f"true: {case.truth}", GREY, font)
        colour = GREY if not case.right else RIGHT if group in case.right else WRONG
        name = "not periodic" if group == "none" else group
        draw.text((left, top + TILE + 36), f"predicted: {name}, {100 * p:.0f} %", colour, font)
    return whole


def main() -> None:
    """Write the sheet, and print the answers."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("limits.jpg")
    images = cases()
    predicted = answers(images)
    for case, (group, p) in zip(images, predicted, strict=True):
        print(f"{case.title:24} true: {case.truth:24} predicted: {group} {p:.3f}")
    whole = sheet(images, predicted)
    for quality in range(88, 40, -6):
        whole.save(out, quality=quality, optimize=True, progressive=True)
        if out.stat().st_size < LARGEST:
            break


if __name__ == "__main__":
    main()
