"""Frozen test sets: patterns of three sources in several constructions, as WebDataset and parquet, with their card.

Made from bundled and procedural pictures alone, those that no training sees, so that they may be passed on. An image's
name tells nothing of its group: images are numbered in an order drawn from the seed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...datasets import Corruption, PatternDataset, split_pool
from ...hierarchy import GROUP_NAMES, HierError
from ...hierarchy.files import whole
from .croissant import croissant, datasheet, sha256
from .formats import Images, encoded, shard
from .parquet import parquet
from .shards import finished
from .workers import in_order

SEED = 20_261_201  # of the release that everyone compares on
SOURCES = ("photos", "atoms", "noise")
PIECE = 34
ROUGH = Corruption("workmanship", (0.5, 3.0))
PARTS: dict[str, dict[str, Any]] = {
    "fold-turned": {},
    "fold-aligned": {"orientation": "aligned"},
    "paste-aligned": {"construction": "paste"},
    "rough-turned": {"corruptions": (ROUGH,)},
    "rough-aligned": {"orientation": "aligned", "corruptions": (ROUGH,)},
}
SETTINGS, CARD, SHEET, SUMS = "release.json", "croissant.json", "README.md", "SHA256SUMS"
LABELS = "labels.csv"


@dataclass(frozen=True)
class Release:
    """`count` images of each source, `size` px a side, under `out`. If `hidden`, labels lie in ``OUT-labels`` alone."""

    out: Path
    count: int = 3400
    seed: int = SEED
    size: int = 256
    hidden: bool = False

    @property
    def labels(self) -> Path:
        """The folder of what is known of the images."""
        return self.out.with_name(f"{self.out.name}-labels") if self.hidden else self.out

    def settings(self) -> dict[str, Any]:
        """All that decides what the files hold; a hidden seed is not told."""
        told = {"hier": version("hier"), "count": self.count, "size": self.size, "sources": list(SOURCES),
                "parts": list(PARTS), "hidden": self.hidden}  # fmt: skip
        return told if self.hidden else told | {"seed": self.seed}

    def order(self, source: str) -> list[int]:
        """Number of the pattern that each image shows: part ``number % 5``, index ``number // 5`` of it."""
        rng = np.random.default_rng([self.seed, SOURCES.index(source)])
        return [int(k) for k in rng.permutation(self.count)]


def release(run: Release, advance: Callable[[int], None] = lambda _: None) -> list[Path]:
    """Write what is missing of a release; the files. A source that is there whole is not made again.

    Raises HierError for a folder that holds other files, or another release, and for a missing library.
    """
    _begin(run)
    made = [path for source in SOURCES for path in _source(run, source, advance)]
    with whole(run.labels / LABELS) as path:
        path.write_text("\n".join(["id,group,number,source,part", *_rows(run)]) + "\n", encoding="utf-8")
    tables = {source: run.out / f"{source}.parquet" for source in SOURCES}
    with whole(run.out / CARD) as path:
        path.write_text(json.dumps(croissant(tables, run.hidden), indent=1), encoding="utf-8")
    with whole(run.out / SHEET) as path:
        path.write_text(datasheet(run.settings()), encoding="utf-8")
    files = [*made, run.labels / LABELS, run.out / CARD, run.out / SHEET]
    with whole(run.out / SUMS) as path:
        told = [f for f in files if f.parent == run.out]
        path.write_text("".join(f"{sha256(f)}  {f.name}\n" for f in told), encoding="utf-8")
    return [*files, run.out / SUMS]


def _begin(run: Release) -> None:
    settings = run.labels / SETTINGS
    try:
        there = json.loads(settings.read_text(encoding="utf-8")) if settings.exists() else None
        others = run.out.exists() and any(run.out.iterdir())
    except (OSError, ValueError) as error:
        raise HierError(f"{settings} cannot be read: choose another folder") from error
    if there is None and others:
        raise HierError(f"{run.out} holds other files: choose a new or empty folder")
    asked = run.settings() | ({"seed": _digest_of(run.seed)} if run.hidden else {})
    if there is not None and there != asked:
        differing = next(k for k in asked if there.get(k) != asked[k])
        raise HierError(f"{run.out} holds another release ({differing} differs): choose another folder")
    if there is None:
        with whole(settings) as path:
            path.write_text(json.dumps(asked), encoding="utf-8")


def _source(run: Release, source: str, advance: Callable[[int], None]) -> list[Path]:
    names = run.out / f"{source}.tar", run.out / f"{source}.parquet", run.labels / f"{source}-known.jsonl"
    if all(path.exists() for path in names):
        advance(run.count)
        return list(names)
    with ExitStack() as stack:
        shape = (run.count, run.size, run.size, 3)
        add = stack.enter_context(shard("webdataset", [names[0]], shape))
        row = stack.enter_context(parquet(names[1], run.hidden))
        told = stack.enter_context(whole(names[2]))
        lines = stack.enter_context(told.open("w", encoding="utf-8"))
        for images in _drawn(run, source):
            shown = [{"id": k["id"]} for k in images.about] if run.hidden else list(images.about)
            add(replace(images, about=shown))
            row(replace(images, about=shown))
            lines.writelines(json.dumps(k) + "\n" for k in images.about)
            advance(len(images.data))
    return list(names)


def _drawn(run: Release, source: str) -> Iterator[Images]:
    order = run.order(source)
    jobs = ((run, source, k, order[k : k + PIECE]) for k in range(0, run.count, PIECE))
    workers = min(os.cpu_count() or 1, -(-run.count // PIECE))
    pieces: Generator[Images, None, None] = in_order(draw, jobs, workers)
    with closing(pieces):
        yield from pieces


def draw(job: tuple[Release, str, int, Sequence[int]]) -> Images:
    """The images of one piece, encoded, with what is known of each and its name."""
    run, source, first, numbers = job
    found: dict[int, tuple[dict[str, Any], bytes]] = {}
    for k, part in enumerate(PARTS):
        own = [n for n in numbers if n % len(PARTS) == k]
        if own:
            found |= zip(own, _of_part(run, source, part, [n // len(PARTS) for n in own]), strict=True)
    about, data = zip(*(found[n] for n in numbers), strict=True)
    named = [{"id": f"{source}-{first + k:06d}", **a} for k, a in enumerate(about)]
    return Images(named, list(data))


@torch.inference_mode()
def _of_part(run: Release, source: str, part: str, indices: Sequence[int]) -> Iterator[tuple[dict[str, Any], bytes]]:
    seed = run.seed + 10**6 * list(PARTS).index(part)  # the same index in two parts is another pattern
    pool = split_pool(None, "valid") if source == "photos" else None
    dataset = PatternDataset(source, seed, run.size, pool=pool, **PARTS[part])  # type: ignore[arg-type]
    _, pixels, told = finished(dataset, indices)
    for what, array in zip(told, pixels, strict=True):
        del what["index"], what["distortions"]
        yield {"source": source, "part": part, **what}, bytes(encoded("webdataset", array))


def _rows(run: Release) -> Iterator[str]:
    for source in SOURCES:
        with (run.labels / f"{source}-known.jsonl").open(encoding="utf-8") as lines:
            for line in lines:
                k = json.loads(line)
                yield f"{k['id']},{k['group']},{GROUP_NAMES.index(k['group'])},{source},{k['part']}"


def _digest_of(seed: int) -> str:
    return hashlib.sha256(str(seed).encode()).hexdigest()
