"""Export: a dataset's images written to a folder, shard by shard, resumable, with the hash of everything written.

``manifest.jsonl`` holds one JSON object a line: first what the images are, then one record for each shard. An
image depends on its index alone, so what an interruption left out is made as if nothing had happened.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...datasets import PatternDataset, photo_content, split_pool
from ...hierarchy import HierError
from .formats import Images, check_format, encoded, shard, shard_files
from .workers import in_order

MANIFEST = "manifest.jsonl"
BATCH = 16  # images made at a time on the CPU
PIECE = 64  # images that a worker makes before it hands them back
ALONE = 128  # up to this many images one process is faster than starting others
SHARD = 500  # images: 100 MB at 256 x 256 px


class ExportError(HierError):
    """An export that cannot be written, resumed or verified."""


@dataclass(frozen=True)
class Export:
    """Images 0 to `count` of `dataset` (without its pictures, which come from `photos` and `split`) under `out`."""

    dataset: PatternDataset
    count: int
    format: str
    out: Path
    photos: Path | None = None
    split: str = "train"
    shard_size: int = SHARD

    def __post_init__(self) -> None:
        check_format(self.format)

    @property
    def shards(self) -> range:
        """Numbers of the shards."""
        return range(-(-self.count // self.shard_size))

    def indices(self, k: int) -> range:
        """Images of shard `k`."""
        return range(k * self.shard_size, min((k + 1) * self.shard_size, self.count))

    def files(self, k: int) -> list[Path]:
        """Files of shard `k`."""
        return shard_files(self.format, self.out, k, self.indices(k), self.dataset.label)

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides what the files hold, as plain data."""
        d = self.dataset
        values: dict[str, Any] = {
            "hier": version("hier"), "format": self.format, "count": self.count, "shard_size": self.shard_size,
            "source": d.source, "seed": d.seed, "size": d.size, "groups": list(d.groups),
            "orientation": d.orientation, "construction": d.construction, "cells": list(d.cells),
            "near_misses": d.near_misses, "margin": d.margin, "corruptions": [asdict(c) for c in d.corruptions],
        }  # fmt: skip
        if d.source == "photos":
            content = "" if self.photos is None else photo_content(self.photos, self.split)
            names = "\n".join(split_pool(self.photos, self.split).names)
            values |= {"split": self.split, "pictures": hashlib.sha256(f"{content}\n{names}".encode()).hexdigest()}
        return json.loads(json.dumps(values))  # type: ignore[no-any-return]


@dataclass
class Summary:
    """The outcome of an export: images made and found there, draws rejected by group, files that could not be read."""

    images: int
    made: int
    found: int
    refused: dict[str, float]
    skipped_photographs: int
    bytes: int
    damaged: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether every image is there."""
        return self.made + self.found == self.images


def export(run: Export, advance: Callable[[int], None] = lambda _: None, device: str = "cpu") -> Summary:
    """Write what is missing of an export. Raises ExportError for another export's folder or a full disk."""
    records = _records(run, start=True)
    present = {k for k in run.shards if k in records and _size(run.files(k)) == records[k]["bytes"]}
    found = sum(len(run.indices(k)) for k in present)
    advance(found)
    made = 0
    try:
        for k, record in _made(run, [k for k in run.shards if k not in present], advance, device):
            _append(run, record)
            records[k] = record
            made += len(run.indices(k))
    except OSError as error:
        raise _no_room(run, error, found + made) from error
    except BrokenProcessPool as error:
        raise ExportError(
            f"a worker was stopped, perhaps out of memory, with {found + made} of {run.count} images written: "
            "rerun the same command to make the rest"
        ) from error
    return _summary(run, records, made, found)


def verify(run: Export, advance: Callable[[int], None] = lambda _: None) -> Summary:
    """Read every file of an export again and compare it with the manifest; nothing is written."""
    records = _records(run, start=False)
    damaged, found = [], 0
    for k in run.shards:
        indices, files = run.indices(k), run.files(k)
        if k in records and _size(files) == records[k]["bytes"] and _hash(files) == records[k]["sha256"]:
            found += len(indices)
        else:
            damaged.append(str(files[0].relative_to(run.out)) + (f" to {files[-1].name}" if len(files) > 1 else ""))
        advance(len(indices))
    summary = _summary(run, records, 0, found)
    summary.damaged = damaged
    return summary


def _made(
    run: Export, shards: Sequence[int], advance: Callable[[int], None], device: str
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Shards written, with their records. Workers make a few pieces ahead and no more, whatever the count."""
    size = run.dataset.size
    pieces = (run.indices(k)[i : i + PIECE] for k in shards for i in range(0, len(run.indices(k)), PIECE))
    count = sum(len(run.indices(k)) for k in shards)
    jobs = ((run, piece, device) for piece in pieces)
    with closing(in_order(_piece, jobs, _workers(count, device))) as made:
        for k in shards:
            files, indices = run.files(k), run.indices(k)
            refused: Counter[str] = Counter()
            with shard(run.format, files, (len(indices), size, size, 3)) as add:
                for _ in range(0, len(indices), PIECE):
                    images, draws = next(made)
                    add(images)
                    refused.update(draws)
                    advance(len(images.indices))
            yield k, {"shard": k, "start": indices.start, "stop": indices.stop, "bytes": _size(files),
                      "sha256": _hash(files), "refused": dict(refused)}  # fmt: skip


def _workers(count: int, device: str) -> int:
    """Processes that make `count` images."""
    return 1 if device != "cpu" or count <= ALONE else min(os.cpu_count() or 1, -(-count // PIECE))


@lru_cache(maxsize=1)
def _with_pictures(dataset: PatternDataset, photos: Path | None, split: str) -> PatternDataset:
    return replace(dataset, pool=split_pool(photos, split)) if dataset.source == "photos" else dataset


def _piece(job: tuple[Export, range, str]) -> tuple[Images, dict[str, int]]:
    run, indices, device = job
    dataset = _with_pictures(run.dataset, run.photos, run.split)
    step = BATCH if device == "cpu" else PIECE
    data: list[Any] = []
    refused: Counter[str] = Counter()
    for part in (indices[k : k + step] for k in range(0, len(indices), step)):
        patterns, _ = dataset.accepted(part, device)
        pixels = (
            (dataset.finish(patterns, part, device) * 255).round().byte().permute(0, 2, 3, 1).contiguous().cpu().numpy()
        )
        data += [encoded(run.format, p) for p in pixels]
        refused.update({dataset.label(i): p.refused for i, p in zip(part, patterns, strict=True)})
    return Images(list(indices), [dataset.label(i) for i in indices], data), dict(refused)


def _records(run: Export, start: bool) -> dict[int, dict[str, Any]]:
    """Records of the shards written so far; with `start`, the manifest is started if it is missing."""
    path = run.out / MANIFEST
    if not path.exists():
        if not start:
            raise ExportError(f"{run.out} holds no export (no {MANIFEST} there): leave --verify out to make it")
        if run.out.exists() and any(run.out.iterdir()):
            raise ExportError(f"{run.out} holds other files: choose a new or empty folder")
        settings = run.settings  # reads the photographs, which may fail: before anything is written
        try:
            run.out.mkdir(parents=True, exist_ok=True)
            _append(run, settings)
        except OSError as error:
            raise _no_room(run, error, 0) from error
        return {}
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:  # cut off by an interruption
            continue
    if not lines or "format" not in lines[0]:
        raise ExportError(f"{path} is damaged: delete {run.out} and export again, or choose another folder")
    _same(run, lines[0])
    return {record["shard"]: record for record in lines[1:]}


def _same(run: Export, there: dict[str, Any]) -> None:
    differing = [f"{k} {there.get(k)!r} there, {v!r} asked for" for k, v in run.settings.items() if there.get(k) != v]
    if differing:
        raise ExportError(f"{run.out} holds another export ({differing[0]}): choose another folder")


def _append(run: Export, record: dict[str, Any]) -> None:
    with open(run.out / MANIFEST, "a+", encoding="utf-8") as file:
        cut_off = file.tell() and not (run.out / MANIFEST).read_bytes().endswith(b"\n")
        file.write(("\n" if cut_off else "") + json.dumps(record) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _size(files: Sequence[Path]) -> int:
    return sum(f.stat().st_size if f.exists() else -(10**15) for f in files)


def _hash(files: Sequence[Path]) -> str:
    whole = hashlib.sha256()
    for path in files:
        with open(path, "rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()


def _no_room(run: Export, error: OSError, done: int) -> ExportError:
    reason = "the disk is full" if error.errno == errno.ENOSPC else error.strerror or str(error)
    return ExportError(
        f"cannot write to {run.out}: {reason}; {done} of {run.count} images are there and valid, "
        "the same command again makes the rest"
    )


def _summary(run: Export, records: dict[int, dict[str, Any]], made: int, found: int) -> Summary:
    refused: Counter[str] = Counter()
    for record in records.values():
        refused.update(record["refused"])
    images = Counter(run.dataset.label(i) for k in records for i in run.indices(k))
    rates = {name: refused[name] / (refused[name] + n) for name, n in images.items()}
    skipped = split_pool(run.photos, run.split).skipped if run.dataset.source == "photos" else 0
    return Summary(run.count, made, found, rates, skipped, sum(r["bytes"] for r in records.values()))
