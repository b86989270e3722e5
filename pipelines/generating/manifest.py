"""What an export has written so far: one JSON object a line, first what the images are, then a record for each shard.

Each part of an export that is made in parts appends to a file of its own, so that machines which write at the same time
never write to the same file. Readers take all of them together.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ...hierarchy import HierError
from ...hierarchy.files import whole

PATTERN = "manifest*.jsonl"
Record = dict[str, Any]


class ExportError(HierError):
    """An export that cannot be written, resumed or verified."""


def manifest_of(out: Path, part: tuple[int, int]) -> Path:
    """The file that a part appends to; ``manifest.jsonl`` for an export in one piece."""
    k, n = part
    return out / ("manifest.jsonl" if n == 1 else f"manifest-{k}-of-{n}.jsonl")


def records(out: Path, settings: Record) -> dict[int, Record] | None:
    """Records of all shards that were written, by number; None where no manifest is.

    ExportError for a damaged manifest, or one of an export with other settings.
    """
    manifests = sorted(out.glob(PATTERN))
    found: dict[int, Record] = {}
    for path in manifests:
        first, *lines = _read(path) or [{}]
        if "format" not in first:
            raise ExportError(f"{path} is damaged: delete {out} and export again, or choose another folder")
        _check_same(out, first, settings)
        found |= {record["shard"]: record for record in lines if _is_record(record)}
    return found if manifests else None


def start(path: Path, settings: Record) -> None:
    """Begin a manifest, unless it is there. ExportError for a folder of other files than an export's.

    It appears with its first line whole: other parts may be reading.
    """
    out = path.parent
    # what is there, and then the manifests: every part has its own before it writes anything else
    others = out.exists() and any(not p.name.startswith(".") for p in out.iterdir())
    if others and not list(out.glob(PATTERN)):
        raise ExportError(f"{out} holds other files: choose a new or empty folder")
    if not path.exists():
        with whole(path) as file:
            file.write_text(json.dumps(settings) + "\n", encoding="utf-8")


def append(path: Path, record: Record) -> None:
    """Add a record that stays even if the power fails."""
    with path.open("a+", encoding="utf-8") as file:
        cut_off = file.tell() and not path.read_bytes().endswith(b"\n")
        file.write(("\n" if cut_off else "") + json.dumps(record) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path) -> list[Record]:
    """The lines of a manifest, but not one that was cut off or damaged, or is being written."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise ExportError(f"{path} cannot be read: {error.strerror or error}") from error
    found = []
    for line in lines:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


def _is_record(line: Record) -> bool:
    """Whether a line tells of a shard; one that does not, its shard is made again."""
    numbers = all(type(line.get(key)) is int for key in ("shard", "stop", "bytes"))
    counts = line.get("refused")
    drawn = isinstance(counts, dict) and all(type(n) is int for n in counts.values())
    return numbers and drawn and isinstance(line.get("sha256"), str)


def _check_same(out: Path, there: Record, asked: Record) -> None:
    differing = [f"{k} {there.get(k)!r} there, {v!r} asked for" for k, v in asked.items() if there.get(k) != v]
    if differing:
        raise ExportError(f"{out} holds another export ({differing[0]}): choose another folder")
