"""Views that a pattern fills in part: how many regions are found, how well they lie, and how many groups are right.

    python benchmarks/regions.py OUT.jsonl [--photos DIR] [--count 15] [--nothing 85] [--seed 31] [--processes 1]

A line of OUT.jsonl tells of `--count` views of a kind, as `hier.load(regions=True)` answers them: two grains of two
patterns, two grains of one pattern, turned; a pattern with a hole, or on a ground, which is flat, noise or an image
without a pattern. A region is found where it shares half of what it and the truth cover. Lines that are there already
are not made again. The last line tells of `--nothing` images without a pattern. The photographs come from the
validation split; seeds below 10**9 are never seen in training.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from hier.datasets import NonPatternDataset, PatternDataset, Pool, split_pool
from PIL import Image, ImageDraw
from torch import Tensor

import hier

SIZE = 320
CELLS = (30.0, 110.0)  # primitive cells in the whole view
KINDS = ("two grains", "turned grains", "hole", "part")
NOTHING = "no pattern"
CHUNK = 5
FOUND = 0.5  # of what a region and the truth cover, together, that both cover
SOURCES = ("photos", "atoms", "noise")
GROUNDS = ("flat", "noise", "other")


@dataclass(frozen=True)
class Composite:
    """An `image` (3, S, S) and what is true of it: a mask (S, S) and a group for each region."""

    kind: str
    image: Tensor
    masks: tuple[Tensor, ...]
    groups: tuple[str, ...]


def composite(kind: str, index: int, seed: int = 31, pool: Pool | None = None, size: int = SIZE) -> Composite:
    """Number `index` of a kind, made of nothing but the arguments."""
    rng = np.random.default_rng([seed, KINDS.index(kind), index])
    source = SOURCES[index % 3] if pool is not None else SOURCES[1 + index % 2]
    made = PatternDataset(source, seed, size, pool=pool, cells=CELLS)  # type: ignore[arg-type]
    number = int(rng.integers(10**6))
    first = made.batch([number])[0]
    name = made.label(number)
    y, x = torch.meshgrid(*(torch.arange(size) - (size - 1) / 2,) * 2, indexing="ij")
    angle = rng.uniform(0, 2 * math.pi)
    side = x * math.cos(angle) + y * math.sin(angle) > rng.uniform(-0.12, 0.12) * size
    match kind:
        case "two grains":
            other = int(rng.integers(10**6))
            return _joined(kind, [first, made.batch([other])[0]], [~side, side], [name, made.label(other)])
        case "turned grains":
            wide = PatternDataset(source, seed, 2 * size, pool=pool, cells=(4 * CELLS[0], 4 * CELLS[1]))  # type: ignore[arg-type]
            whole = wide.batch([number])[0]
            turned = _turned(whole, rng.uniform(12, 30), size)
            middle = whole[:, size // 2 : size // 2 + size, size // 2 : size // 2 + size]
            return _joined(kind, [middle, turned], [~side, side], [name, name])
        case "hole":
            radius = rng.uniform(0.13, 0.25) * size
            at = rng.uniform(-0.2, 0.2, 2) * size
            hole = (x - at[0]).hypot(y - at[1]) < radius
            return _joined(kind, [first, _ground(rng, index, seed, size, pool)], [~hole, hole], [name])
        case _:
            share, turn = 0.4, rng.uniform(0, 2 * math.pi)
            if rng.random() < 0.5:
                at = rng.uniform(-0.12, 0.12, 2) * size
                inside = (x - at[0]).hypot(y - at[1]) < size * math.sqrt(share / math.pi)
            else:
                u, v = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
                half = 0.5 * size * math.sqrt(share)
                inside = (u.abs() < half * 1.2) & (v.abs() < half / 1.2)
            return _joined(kind, [first, _ground(rng, index, seed, size, pool)], [inside, ~inside], [name])


def _joined(kind: str, images: Sequence[Tensor], masks: Sequence[Tensor], groups: Sequence[str]) -> Composite:
    image = torch.stack([image * mask for image, mask in zip(images, masks, strict=True)]).sum(0)
    return Composite(kind, image, tuple(masks[: len(groups)]), tuple(groups))


def _turned(whole: Tensor, degrees: float, size: int) -> Tensor:
    t = math.radians(degrees)
    ticks = (torch.arange(size) - (size - 1) / 2) * 2 / whole.shape[-1]
    y, x = torch.meshgrid(ticks, ticks, indexing="ij")
    at = torch.stack([x * math.cos(t) - y * math.sin(t), x * math.sin(t) + y * math.cos(t)], -1)
    return F.grid_sample(whole[None], at[None], mode="bicubic", align_corners=False)[0].clamp(0, 1)


def _ground(rng: np.random.Generator, index: int, seed: int, size: int, pool: Pool | None) -> Tensor:
    match GROUNDS[index // 3 % 3]:
        case "flat":
            return torch.full((3, size, size), float(rng.uniform(0.1, 0.9)))
        case "noise":
            grey = 0.5 + 0.2 * rng.standard_normal((1, size, size)).astype(np.float32)
            return torch.from_numpy(grey.clip(0, 1)).expand(3, -1, -1)
        case _:
            return NonPatternDataset(seed, size, pool=pool).batch([int(rng.integers(10**6))])[0]


@lru_cache(maxsize=1)
def _pool(photos: Path | None) -> Pool | None:
    return None if photos is None else split_pool(photos, "valid")


@lru_cache(maxsize=1)
def _predictor() -> hier.Predictor:
    torch.set_num_threads(1)
    return hier.load(regions=True)


def answers(kind: str, seed: int, photos: Path | None, first: int, last: int) -> list[dict[str, Any]]:
    """What came of views `first` to `last` of a kind."""
    made = []
    for k in range(first, last):
        if kind == NOTHING:
            view = Composite(kind, NonPatternDataset(seed, SIZE, pool=_pool(photos)).batch([k])[0], (), ())
        else:
            view = composite(kind, k, seed, _pool(photos))
        started = time.perf_counter()
        (found,) = _predictor().predict(view.image.permute(1, 2, 0).numpy())
        seconds = time.perf_counter() - started
        masks = [_mask([region.outline], region.holes) for region in found.regions]
        rows = []
        for mask, name in zip(view.masks, view.groups, strict=True):
            common = [float((mask & m).sum()) / float((mask | m).sum()) for m in masks]
            best = int(np.argmax(common)) if common else -1
            group = found.regions[best].answer.group if best >= 0 and common[best] >= FOUND else None
            rows.append({"truth": name, "common": max(common, default=0.0), "group": group})
        made.append({"index": k, "regions": rows, "count": len(masks), "whole": found.group, "seconds": seconds})
    return made


def _mask(rings: Sequence[Any], holes: Sequence[Any]) -> Tensor:
    picture = Image.new("1", (SIZE, SIZE))
    draw = ImageDraw.Draw(picture)
    for inside, some in ((1, rings), (0, holes)):
        for ring in some:
            draw.polygon([tuple(point) for point in ring], fill=inside)
    return torch.from_numpy(np.array(picture))


def summary(kind: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A line of the table."""
    every = [r for row in rows for r in row["regions"]]
    extra = sum(max(0, row["count"] - sum(r["common"] >= FOUND for r in row["regions"])) for row in rows)
    made: dict[str, Any] = {"kind": kind, "views": len(rows), "regions": len(every), "extra": extra}
    made["seconds"] = float(np.mean([row["seconds"] for row in rows]))
    if every:
        made["found"] = float(np.mean([r["common"] >= FOUND for r in every]))
        made["common"] = float(np.median([r["common"] for r in every]))
        made["right"] = float(np.mean([r["group"] == r["truth"] for r in every]))
        made["wrong"] = [
            [row["index"], r["truth"], r["group"], r["common"]]
            for row in rows for r in row["regions"] if r["group"] != r["truth"]
        ]  # fmt: skip
        if kind in ("hole", "part"):
            made["whole"] = float(np.mean([row["whole"] == row["regions"][0]["truth"] for row in rows]))
    else:
        made["with regions"] = sum(row["count"] > 0 for row in rows)
        made["wrong"] = [row["index"] for row in rows if row["count"]]
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--count", type=int, default=15)
    parser.add_argument("--nothing", type=int, default=85)
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    done = {json.loads(text)["kind"] for text in given.out.read_text().splitlines()} if given.out.exists() else set()
    with ProcessPoolExecutor(given.processes, get_context("spawn")) as pool:
        for kind in (*KINDS, NOTHING):
            count = given.nothing if kind == NOTHING else given.count
            if kind in done or not count:
                continue
            spans = [(first, min(first + CHUNK, count)) for first in range(0, count, CHUNK)]
            jobs = [pool.submit(answers, kind, given.seed, given.photos, *span) for span in spans]
            row = summary(kind, [row for job in jobs for row in job.result()]) | {"seed": given.seed}
            with given.out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
