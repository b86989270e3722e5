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
from typing import Any, Literal

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
            with file.open("a", encoding="utf-8") as out:
                out.write(json.dumps(asdict(record)) + "\n")
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
        return any(self.folder.glob("*.sending")) or any(self.folder.glob("*.jsonl"))


def _by_age(files: Iterable[Path]) -> list[Path]:
    return sorted(files, key=lambda f: f.stat().st_mtime)


def _read(file: Path) -> list[Record]:
    records = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        try:
            records.append(Record(**json.loads(line)))
        except (json.JSONDecodeError, TypeError):
            # the power may fail in the middle of a line
            logger.warning("%s, line %d is not a record and is skipped", file, number)
    return records
