"""Records of a training, as data: what is sent to MLflow, or kept in a file until it can be sent.

Every record may be sent more than once, so that an interrupted training can be sent again.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from ...hierarchy.kept import make_room, sealed, unsealed

Kind = Literal["start", "metrics", "input", "confusion", "file", "model", "end"]
logger = logging.getLogger("hier")


@dataclass(frozen=True)
class Record:
    """One thing that happened in the run `run` (``<training>`` or ``<training>/<node>``) at `time`, in ms since 1970.

    `data` by kind: ``start`` name, params, tags, parent; ``metrics`` values, step; ``input`` a dataset's name, digest,
    source, profile, context; ``confusion`` counts, choices; ``file`` path; ``model`` name, code, card (a path), perhaps
    alias; ``end`` status.
    """

    run: str
    kind: Kind
    data: dict[str, Any]
    time: int = field(default_factory=lambda: int(time.time() * 1000))


@dataclass(frozen=True)
class Pending:
    """Records that wait to be sent, as JSON lines: one file in `folder` for each training."""

    folder: Path

    def keep(self, record: Record) -> None:
        """Add a record; a full disk loses the record, never the training."""
        file = self.folder / f"{record.run.partition('/')[0]}.jsonl"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            make_room(file)
            with file.open("a", encoding="utf-8") as out:
                out.write(f"{sealed(json.dumps(asdict(record)))}\n")
        except OSError as error:
            logger.warning("a record of the training is lost: %s cannot be written: %s", file, error)

    def batches(self) -> Iterator[tuple[Path, list[Record]]]:
        """Files with their records, oldest first. The sender removes the file.

        A file is renamed before it is read: a training that runs meanwhile begins another.
        """
        for file in _by_age(self.folder.glob("*.sending")):
            yield file, _read(file)
        for file in _by_age(self.folder.glob("*.jsonl")):
            taken = file.with_name(f"{file.stem}-{time.time_ns()}.sending")
            os.replace(file, taken)
            yield taken, _read(taken)

    def __bool__(self) -> bool:
        return any(file.is_file() for kind in ("*.sending", "*.jsonl") for file in self.folder.glob(kind))


def _by_age(files: Iterable[Path]) -> list[Path]:
    """Of those that are files: a folder holds no records."""
    return sorted((f for f in files if f.is_file()), key=lambda f: f.stat().st_mtime)


def _read(file: Path) -> list[Record]:
    records = []
    for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        try:
            text = unsealed(line)
            records.append(_record(json.loads(line if text is None else text)))
        except (ValueError, TypeError, RecursionError):
            # the power may fail in the middle of a line
            logger.warning("%s, line %d is not a record and is skipped", file, number)
    return records


def _record(values: dict[str, Any]) -> Record:
    """TypeError or ValueError for what is none."""
    record = Record(**values)
    if record.kind not in get_args(Kind) or not isinstance(record.run, str) or not isinstance(record.data, dict):
        raise ValueError(f"not a record: {record}")
    return record
