"""Tables of predictions, CSV or JSON lines: one row per image, written as it comes, taken up where it stopped."""

from __future__ import annotations

import csv
import io
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ...hierarchy import HierError
from ..reading.files import split_inside
from .results import Failure, Prediction

Stamp = tuple[int, int] | None  # bytes and time of change (ns) of a file; None when it is not there
COLUMNS = (
    "file", "group", "statement", "probability", "periodic", "periodic_probability", "system", "a", "b", "gamma",
    "a_length", "b_length", "unit", "error",
)  # fmt: skip
OWN = ("bytes", "modified_ns", "run")  # what a table is taken up by


def stamp(name: str) -> Stamp:
    """Size and time of change of an image's file."""
    try:
        found = split_inside(name)[0].stat()
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns


class Rows(ABC):
    """A table in a file. Use it as a context; `has` says what needs no new row, `add` appends one.

    `run` stands in every row and names the model and the settings. Raises HierError for a file that is no such
    table or has rows of another run, unless `restart` empties it first.
    """

    def __init__(self, path: Path, run: str, labels: Sequence[str], restart: bool = False) -> None:
        self.path, self.run, self.labels = path, run, labels
        self._known: dict[str, tuple[Stamp, bool]] = {}
        self._superseded = False
        try:
            if restart:
                path.write_text("", encoding="utf-8")
            elif path.exists():
                _cut_unfinished(path)
                for row in self._rows():
                    self._note(row)
            self._file = path.open("a", encoding="utf-8", newline="")
        except (OSError, UnicodeDecodeError) as error:
            raise HierError(f"cannot write {path}: {getattr(error, 'strerror', None) or 'not a text file'}") from error
        if path.stat().st_size == 0:
            self._begin()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if self._superseded:
            self._keep_last()

    def has(self, name: str, now: Stamp) -> bool:
        """Whether an image has its row: the same file, unchanged, that could be read."""
        return self._known.get(name) == (now, True)

    def add(self, result: Prediction | Failure, now: Stamp) -> None:
        """Append a row, in full, to the file."""
        size, changed = now or (None, None)
        row = self._row(result) | {"bytes": size, "modified_ns": changed, "run": self.run}
        self._file.write(self._text(row))
        self._file.flush()
        self._superseded |= result.file in self._known
        self._known[result.file] = now, isinstance(result, Prediction)

    def _note(self, row: dict[str, Any]) -> None:
        missing = [name for name in ("file", *OWN) if name not in row]
        if missing:
            raise self._foreign(f"rows have no {missing[0]}")
        if row["run"] != self.run:
            raise HierError(
                f"{self.path} has rows of another model or other settings (run {row['run']}, this is {self.run}): "
                "give another file, or --restart to begin it anew"
            )
        when = None if row["bytes"] in (None, "") else (int(row["bytes"]), int(row["modified_ns"]))
        self._superseded |= row["file"] in self._known
        self._known[row["file"]] = when, not row.get("error")

    def _foreign(self, why: str) -> HierError:
        return HierError(f"{self.path} is no table of predictions ({why}): give another file, or --restart")

    def _keep_last(self) -> None:
        """Rewrite the file with the last row of every image."""
        last = {row["file"]: k for k, row in enumerate(self._rows())}
        unfinished = self.path.with_name(self.path.name + ".unfinished")
        with unfinished.open("w", encoding="utf-8", newline="") as file:
            file.write(self._head())
            for k, row in enumerate(self._rows()):
                if last[row["file"]] == k:
                    file.write(self._text(row))
        os.replace(unfinished, self.path)

    def _begin(self) -> None:
        self._file.write(self._head())
        self._file.flush()

    @abstractmethod
    def _head(self) -> str:
        """What stands before the rows."""

    @abstractmethod
    def _rows(self) -> Iterator[dict[str, Any]]:
        """The rows in the file, one at a time. Raises HierError for what is none."""

    @abstractmethod
    def _row(self, result: Prediction | Failure) -> dict[str, Any]:
        """A result as a row."""

    @abstractmethod
    def _text(self, row: dict[str, Any]) -> str:
        """A row as it stands in the file, the line's end with it."""


class JsonRows(Rows):
    """One JSON object a line: all that ``hier predict --json`` tells."""

    def _head(self) -> str:
        return ""

    def _rows(self) -> Iterator[dict[str, Any]]:
        with self.path.open(encoding="utf-8") as file:
            for k, line in enumerate(file, 1):
                try:
                    row = json.loads(line)
                except ValueError as error:
                    raise self._foreign(f"line {k} is no JSON") from error
                if not isinstance(row, dict):
                    raise self._foreign(f"line {k} is no object")
                yield row

    def _row(self, result: Prediction | Failure) -> dict[str, Any]:
        return result.as_dict()

    def _text(self, row: dict[str, Any]) -> str:
        return json.dumps(row) + "\n"


class CsvRows(Rows):
    """A sheet: the columns of `COLUMNS`, a probability for every label, and `OWN`."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return (*COLUMNS, *(f"p({label})" for label in self.labels), *OWN)

    def _head(self) -> str:
        return _csv_line(self.columns)

    def _rows(self) -> Iterator[dict[str, Any]]:
        with self.path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file)
            try:
                head = next(reader, list(self.columns))
                if head[: len(COLUMNS)] != list(COLUMNS):
                    raise self._foreign("its first line names other columns")
                for values in reader:
                    if len(values) != len(head):
                        raise self._foreign(f"line {reader.line_num} has {len(values)} cells instead of {len(head)}")
                    yield dict(zip(head, values, strict=True))
            except csv.Error as error:
                raise self._foreign(str(error)) from error

    def _row(self, result: Prediction | Failure) -> dict[str, Any]:
        told = result.as_dict()
        groups = {f"p({label})": f"{p:.6g}" for label, p in told.pop("groups", {}).items()}
        return told | (told.pop("lattice", None) or {}) | groups

    def _text(self, row: dict[str, Any]) -> str:
        return _csv_line([row.get(name, "") for name in self.columns])


def _csv_line(values: Sequence[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(["" if v is None else v for v in values])
    return line.getvalue()


def _cut_unfinished(path: Path) -> None:
    """Cut a last line that an interruption left without its end."""
    with path.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - 65536)
            file.seek(start)
            at = file.read(end - start).rfind(b"\n")
            if at >= 0:
                file.truncate(start + at + 1)
                return
            end = start
        file.truncate(0)
