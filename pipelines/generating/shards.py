"""Shards of an export: their images drawn by all cores or by a cluster, encoded, and written in order."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ...datasets import Pattern, PatternDataset, split_pool
from ...datasets.controls import HALVES, Half, matched
from ...hierarchy import GROUP_NAMES
from ...hierarchy.locks import in_use
from ..cluster import spread
from .formats import Images, Pixels, encoded, shard
from .manifest import ExportError, Record
from .parts import true_misfits
from .workers import in_order

if TYPE_CHECKING:
    from .export import Export

BATCH = 16  # images made at a time on the CPU
PIECE = 64  # images that a worker makes before it hands them back
ALONE = 128  # up to this many images one process is faster than starting others
AHEAD = 4  # pieces whose images are encoded while a GPU draws the next

Piece = tuple["Export", range, str]
Made = tuple[Images, dict[str, int]]
Known = dict[str, Any]


def made_here(
    run: Export, shards: Sequence[int], advance: Callable[[int], None], device: str
) -> Iterator[tuple[int, Record]]:
    """Shards written, with their records. Workers make a few pieces ahead and no more, whatever the count."""
    jobs = ((run, run.indices(k)[i : i + PIECE], device) for k in shards for i in range(0, len(run.indices(k)), PIECE))
    count = sum(len(run.indices(k)) for k in shards)
    with closing(_pieces(jobs, count, device, run.format)) as made:
        for k in shards:
            yield k, write_shard(run, k, made, advance)


def made_by_cluster(
    run: Export, shards: Sequence[int], advance: Callable[[int], None], device: str
) -> Iterator[tuple[int, Record]]:
    """The same by the machines of a cluster, a shard at a time; what workers that died left unfinished is removed."""
    with closing(spread(whole_shard, ((run, k, device) for k in shards), device)) as made:
        for k, record in zip(shards, made, strict=True):
            if not run.files(k)[0].exists():
                raise ExportError(f"{run.out} is not the same folder on all machines: give one that all of them see")
            advance(len(run.indices(k)))
            yield k, record
    sweep(run, set(shards))


def whole_shard(job: tuple[Export, int, str]) -> Record:
    """One shard, drawn and written in this process."""
    run, k, device = job
    indices = run.indices(k)
    pieces = ((run, indices[i : i + PIECE], device) for i in range(0, len(indices), PIECE))
    with closing(_pieces(pieces, 1, device, run.format)) as made:
        return write_shard(run, k, made)


def write_shard(run: Export, k: int, made: Iterator[Made], advance: Callable[[int], None] = lambda _: None) -> Record:
    """Write shard `k` of the next pieces that were made; its record."""
    files, indices, size = run.files(k), run.indices(k), run.dataset.size
    refused: Counter[str] = Counter()
    with shard(run.format, files, (len(indices), size, size, 3)) as add:
        for _ in range(0, len(indices), PIECE):
            images, draws = next(made)
            add(images)
            refused.update(draws)
            advance(len(images.data))
    return {"shard": k, "start": indices.start, "stop": indices.stop, "bytes": size_of(files),
            "sha256": hash_of(files), "refused": dict(refused)}  # fmt: skip


def _pieces(jobs: Iterable[Piece], count: int, device: str, format: str) -> Generator[Made, None, None]:
    """The `count` images of all jobs, drawn and encoded: by processes, or by a GPU with threads that encode."""
    if device != "cpu":
        yield from _encoded_beside(map(draw, jobs), format)
        return
    workers = 1 if count <= ALONE else min(os.cpu_count() or 1, -(-count // PIECE))
    with closing(in_order(draw_and_encode, jobs, workers)) as made:
        yield from made


def draw(job: Piece) -> Made:
    """The images of one piece as pixels, and how many draws of each group were rejected."""
    run, indices, device = job
    dataset = _with_pictures(run.dataset, run.photos, run.split)
    step = BATCH if device == "cpu" else PIECE
    data: list[Pixels | bytes] = []
    about: list[Known] = []
    refused: Counter[str] = Counter()
    for part in (indices[k : k + step] for k in range(0, len(indices), step)):
        patterns, pixels, told = finished(dataset, part, device, run.misfits, run.half)
        data += pixels
        about += told
        refused.update({dataset.label(i): p.refused for i, p in zip(part, patterns, strict=True)})
    return Images(about, data), dict(refused)


def finished(
    dataset: PatternDataset,
    indices: Sequence[int],
    device: str = "cpu",
    misfits: bool = True,
    half: Half | None = None,
) -> tuple[list[Pattern], list[Pixels], list[Known]]:
    """The patterns of some images, their pixels (H, W, 3), and what is known of each; or of their controls."""
    patterns, _ = dataset.accepted(indices, device)
    rough, images = dataset.finish_rough(patterns, indices, device)
    if half is not None:
        images = dict(zip(HALVES, matched(images, [(dataset.seed, i) for i in indices]), strict=True))[half]
    pixels = list((images * 255).round().byte().permute(0, 2, 3, 1).contiguous().cpu().numpy())
    if half == "controls":
        return patterns, pixels, [told | {"control": True} for told in known(dataset, patterns, indices, None)]
    return patterns, pixels, known(dataset, patterns, indices, rough if misfits else None)


def known(
    dataset: PatternDataset, patterns: Sequence[Pattern], indices: Sequence[int], rough: Tensor | None
) -> list[Known]:
    """What is written of each image: its `About`, and how well each group holds on `rough` images, where given."""
    about: list[Known] = [asdict(a) for a in dataset.about(patterns, indices)]
    if rough is None:
        return about
    misfits = true_misfits(rough, patterns)[:, : len(GROUP_NAMES)].cpu().tolist()
    of_each = [dict(zip(GROUP_NAMES, (round(m, 6) for m in row), strict=True)) for row in misfits]
    return [a | {"misfits": m} for a, m in zip(about, of_each, strict=True)]


def draw_and_encode(job: Piece) -> Made:
    """The images of one piece as the format stores them."""
    images, refused = draw(job)
    return replace(images, data=[encoded(job[0].format, p) for p in images.data]), refused


def _encoded_beside(drawn: Iterable[Made], format: str) -> Iterator[Made]:
    """The same images encoded by threads while the next are drawn: zlib leaves Python's lock alone."""
    waiting: deque[tuple[Images, list[Future[Pixels | bytes]], dict[str, int]]] = deque()
    with ThreadPoolExecutor(os.cpu_count()) as pool:

        def first() -> Made:
            images, data, refused = waiting.popleft()
            return replace(images, data=[d.result() for d in data]), refused

        for images, refused in drawn:
            waiting.append((images, [pool.submit(encoded, format, p) for p in images.data], refused))
            if len(waiting) > AHEAD:
                yield first()
        while waiting:
            yield first()


@lru_cache(maxsize=1)
def _with_pictures(dataset: PatternDataset, photos: Path | None, split: str) -> PatternDataset:
    return replace(dataset, pool=split_pool(photos, split)) if dataset.source == "photos" else dataset


def size_of(files: Sequence[Path]) -> int:
    """Bytes of all files together; negative if one is missing."""
    return sum(f.stat().st_size if f.exists() else -(10**15) for f in files)


def hash_of(files: Sequence[Path]) -> str:
    """Digest of the files' digests."""
    together = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            together.update(hashlib.file_digest(file, "sha256").digest())
    return together.hexdigest()


def sweep(run: Export, shards: set[int]) -> None:
    """Remove the unfinished files of `shards` that a killed worker could not remove itself."""
    for file in run.out.rglob(".*"):
        found = re.fullmatch(r"\.(shard-|labels-)?(\d+)\.[0-9a-f]{8}\.\w+", file.name)
        one = 1 if found and found[1] else run.shard_size  # numbers in the names are those of shards, or of images
        if found and int(found[2]) // one in shards and not in_use(file):
            file.unlink(missing_ok=True)
