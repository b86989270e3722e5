"""Export: a dataset's images written to a folder, shard by shard, resumable, with the hash of everything written.

An image depends on its index alone, so what an interruption left out is made as if nothing had happened, and parts
that different machines make are those of one export.
"""

from __future__ import annotations

import errno
import hashlib
import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...datasets import PatternDataset, photo_content, split_pool
from ...datasets.controls import HALVES, Half
from ...hierarchy.locks import only_one
from .formats import check_format, shard_files
from .manifest import PATTERN, ExportError, Record, append, manifest_of, records, start
from .shards import hash_of, made_by_cluster, made_here, size_of, sweep

SHARD = 500  # images: 100 MB at 256 x 256 px


@dataclass(frozen=True)
class Export:
    """Images 0 to `count` of `dataset` (without its pictures, which come from `photos` and `split`) under `out`.

    Of these the shards of `part`: (3, 64) is the third of 64 parts, and every shard is in exactly one of them.
    `misfits`: whether what is written of an image tells how well each group holds, which takes as long as to draw it.
    `half` of matched pairs: the patterns or their controls, see `datasets.controls`; no pairs if left out.
    """

    dataset: PatternDataset
    count: int
    format: str
    out: Path
    photos: Path | None = None
    split: str = "train"
    shard_size: int = SHARD
    part: tuple[int, int] = (1, 1)
    misfits: bool = True
    half: Half | None = None

    def __post_init__(self) -> None:
        check_format(self.format)

    @property
    def shards(self) -> range:
        """Numbers of the shards of this part."""
        k, parts = self.part
        count = -(-self.count // self.shard_size)
        return range(count * (k - 1) // parts, count * k // parts)

    @property
    def images(self) -> int:
        """Number of images in this part."""
        return sum(len(self.indices(k)) for k in self.shards)

    def indices(self, k: int) -> range:
        """Images of shard `k`."""
        return range(k * self.shard_size, min((k + 1) * self.shard_size, self.count))

    def files(self, k: int) -> list[Path]:
        """Files of shard `k`."""
        return shard_files(self.format, self.out, k, self.indices(k), self.dataset.label)

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides what the images are and how they lie in files, but not how many there are."""
        d = self.dataset
        values: dict[str, Any] = {
            "hier": version("hier"), "format": self.format, "shard_size": self.shard_size,
            "source": d.source, "seed": d.seed, "size": d.size, "groups": list(d.groups),
            "orientation": d.orientation, "construction": d.construction, "cells": list(d.cells),
            "near_misses": d.near_misses, "margin": d.margin, "corruptions": [asdict(c) for c in d.corruptions],
            "misfits": self.misfits, "half": self.half,
        }  # fmt: skip
        if d.source == "photos":
            content = "" if self.photos is None else photo_content(self.photos, self.split)
            names = "\n".join(split_pool(self.photos, self.split).names)
            text = f"{content}\n{names}"
            values |= {
                "split": self.split,
                "pictures": hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest(),
            }
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


def pairs_of(run: Export) -> list[Export]:
    """The exports of patterns and of their controls, in two folders below that of `run`."""
    return [replace(run, out=run.out / half, half=half) for half in HALVES]


def export(
    run: Export, advance: Callable[[int], None] = lambda _: None, device: str = "cpu", shared: bool = False
) -> Summary:
    """Write what is missing of an export; with `shared`, by the machines of the `cluster`, all of which see its folder.

    Raises HierError when another call writes the same part, ExportError for another export's folder or a full disk,
    ClusterError for workers that died again and again.
    """
    run = replace(run, out=run.out.absolute(), photos=run.photos and run.photos.absolute()) if shared else run
    settings = run.settings  # reads the photographs, which may fail: before anything is written
    with only_one(run.out, "hier generate", ".lock" if run.part == (1, 1) else ".lock-{}-of-{}".format(*run.part)):
        return _export(run, settings, advance, device, shared)


def _export(
    run: Export, settings: dict[str, Any], advance: Callable[[int], None], device: str, shared: bool
) -> Summary:
    manifest = manifest_of(run.out, run.part)
    try:
        written = records(run.out, settings) or {}
        start(manifest, settings)
        sweep(run, set(run.shards))
    except OSError as error:
        raise _no_room(run, error, 0) from error
    _check_count(run, written)
    present = {k for k in run.shards if _whole(run, written, k)}
    found = sum(len(run.indices(k)) for k in present)
    advance(found)
    made = 0
    missing = [k for k in run.shards if k not in present]
    try:
        for k, record in (made_by_cluster if shared else made_here)(run, missing, advance, device):
            append(manifest, record)
            written[k] = record
            made += len(run.indices(k))
    except OSError as error:
        raise _no_room(run, error, found + made) from error
    except BrokenProcessPool as error:
        raise ExportError(
            f"a worker was stopped, perhaps out of memory, with {found + made} of {run.images} images written: "
            "rerun the same command to make the rest"
        ) from error
    return _summary(run, written, made, found)


def verify(run: Export, advance: Callable[[int], None] = lambda _: None) -> Summary:
    """Read every file of an export again and compare it with the manifest; nothing is written."""
    written = records(run.out, run.settings)
    if written is None:
        raise ExportError(f"{run.out} holds no export (no {PATTERN} there): leave --verify out to make it")
    damaged, found = [], 0
    for k in run.shards:
        indices, files = run.indices(k), run.files(k)
        if _whole(run, written, k) and hash_of(files) == written[k]["sha256"]:
            found += len(indices)
        else:
            damaged.append(str(files[0].relative_to(run.out)) + (f" to {files[-1].name}" if len(files) > 1 else ""))
        advance(len(indices))
    summary = _summary(run, written, 0, found)
    summary.damaged = damaged
    return summary


def _whole(run: Export, written: dict[int, Record], k: int) -> bool:
    """Whether shard `k` is there with all its images; one that more were asked for since is made anew."""
    return k in written and written[k]["stop"] == run.indices(k).stop and size_of(run.files(k)) == written[k]["bytes"]


def _check_count(run: Export, written: dict[int, Record]) -> None:
    there = max((record["stop"] for record in written.values()), default=0)
    if there > run.count:
        raise ExportError(f"{run.out} holds {there} images, {run.count} asked for: ask for as many or more")


def _no_room(run: Export, error: OSError, done: int) -> ExportError:
    reason = "the disk is full" if error.errno == errno.ENOSPC else error.strerror or str(error)
    return ExportError(
        f"cannot write to {run.out}: {reason}; {done} of {run.images} images are there and valid, "
        "the same command again makes the rest"
    )


def _summary(run: Export, written: dict[int, Record], made: int, found: int) -> Summary:
    refused: Counter[str] = Counter()
    ours = [written[k] for k in run.shards if k in written]
    for record in ours:
        refused.update(record["refused"])
    images = Counter(run.dataset.label(i) for record in ours for i in run.indices(record["shard"]))
    rates = {name: refused[name] / (refused[name] + n) for name, n in images.items()}
    skipped = split_pool(run.photos, run.split).skipped if run.dataset.source == "photos" else 0
    return Summary(run.images, made, found, rates, skipped, sum(r["bytes"] for r in ours))
