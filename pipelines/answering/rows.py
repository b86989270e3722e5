"""Tables of predictions, CSV or JSON lines: one row per image, written as it comes, resumed where they stopped.

Bytes of a file name that are not UTF-8 stand in a table as ``\\udc80`` to ``\\udcff``, as JSON and Python write them:
in JSON lines `json.loads` gives the name that `open` takes, in CSV `name_of` does.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ...hierarchy import HierError
from ...hierarchy.files import output
from ..reading.files import split_inside
from .results import Failure, Prediction

Stamp = tuple[int, int] | None  # bytes and time of change (ns) of a file; None when it is not there
COLUMNS = (
    "file", "group", "statement", "probability", "periodic", "periodic_probability", "system", "a", "b", "gamma",
    "a_length", "b_length", "unit", "error",
)  # fmt: skip
OWN = ("bytes", "modified_ns", "run")  # what a table is resumed by


def stamp(name: str) -> Stamp:
    """Size and time of change of an image's file."""
    try:
        found = split_inside(name)[0].stat()
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns


class Rows(ABC):
    """A table in a file. Use it as a context; `has` says what needs no new row, `add` appends one.

    `run` is in every row and names the model and the settings. A file that is there is read before it is changed:
    raises HierError for one that is not such a table, or that has rows of another run, unless `restart` empties it.
    """

    def __init__(self, path: Path, run: str, labels: Sequence[str], restart: bool = False) -> None:
        self.path, self.run, self.labels = path, run, labels
        self._known: dict[str, tuple[Stamp, bool]] = {}
        self._superseded = False
        try:
            end = self._recognised(restart) if path.is_file() else 0
            self._file = path.open("ab", buffering=0)  # a buffer would retry what a full disk rejected
            if path.is_file():
                self._file.truncate(end)
            if not end:
                self._write(self._head())
        except (OSError, UnicodeDecodeError) as error:
            raise HierError(f"cannot write {path}: {getattr(error, 'strerror', None) or 'not a text file'}") from error

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
        self._write(self._text(row))
        self._superseded |= result.file in self._known
        self._known[result.file] = now, isinstance(result, Prediction)

    def _recognised(self, restart: bool) -> int:
        """Bytes to keep of the file: all whole rows, none with `restart`. HierError if it is not such a table."""
        rows, end = self._rows(), _end_of_rows(self.path)
        if restart or not end:
            next(rows, None)  # the first shows whether it is such a table
            return 0
        for row in rows:
            self._note(row)
        return end

    def _write(self, text: str) -> None:
        """Append `text`, or nothing of it where the disk is full."""
        before, left = self.path.stat().st_size, memoryview(text.encode())
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            if self.path.is_file():
                os.truncate(self.path, before)
            raise HierError(f"cannot write {self.path}: {error.strerror or error}") from error

    def _note(self, row: dict[str, Any]) -> None:
        if row["run"] != self.run:
            raise HierError(
                f"{self.path} has rows of another model or other settings (run {row['run']}, this is {self.run}): "
                "give another file, or --restart to start this one over"
            )
        try:
            when = None if row["bytes"] in (None, "") else (int(row["bytes"]), int(row["modified_ns"]))
        except (TypeError, ValueError) as error:
            raise self._foreign("a file's size is not a number") from error
        self._superseded |= row["file"] in self._known
        self._known[row["file"]] = when, not row.get("error")

    def _foreign(self, why: str) -> HierError:
        return HierError(f"{self.path} is not a table of predictions ({why}): give another file")

    def _keep_last(self) -> None:
        """Rewrite the file with the last row of every image."""
        last = {row["file"]: k for k, row in enumerate(self._rows())}
        with output(self.path) as made, made.open("w", encoding="utf-8", newline="") as file:
            file.write(self._head())
            for k, row in enumerate(self._rows()):
                if last[row["file"]] == k:
                    file.write(self._text(row))

    @abstractmethod
    def _head(self) -> str:
        """The text before the rows."""

    @abstractmethod
    def _rows(self) -> Iterator[dict[str, Any]]:
        """The whole rows in the file, one at a time. Raises HierError for a malformed one or a file of another kind."""

    @abstractmethod
    def _row(self, result: Prediction | Failure) -> dict[str, Any]:
        """A result as a row."""

    @abstractmethod
    def _text(self, row: dict[str, Any]) -> str:
        """A row as it stands in the file, the line's end with it."""


class JsonRows(Rows):
    """One JSON object a line: all that ``hier predict --json`` prints."""

    def _head(self) -> str:
        return ""

    def _rows(self) -> Iterator[dict[str, Any]]:
        for k, line in enumerate(_lines(self.path), 1):
            try:
                row = json.loads(line)
            except ValueError as error:
                raise self._foreign(f"line {k} is not JSON") from error
            if not isinstance(row, dict):
                raise self._foreign(f"line {k} is not an object")
            missing = [name for name in ("file", *OWN) if name not in row]
            if missing:
                raise self._foreign(f"rows have no {missing[0]}")
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
        reader = csv.reader(_lines(self.path))
        try:
            head = next(reader, list(self.columns))
            if head[: len(COLUMNS)] != list(COLUMNS) or head[-len(OWN) :] != list(OWN):
                raise self._foreign("its first line names other columns")
            for values in reader:
                if len(values) != len(head):
                    raise self._foreign(f"line {reader.line_num} has {len(values)} cells instead of {len(head)}")
                row = dict(zip(head, values, strict=True))
                yield row | {"file": name_of(row["file"])}
        except csv.Error as error:
            raise self._foreign(str(error)) from error

    def _row(self, result: Prediction | Failure) -> dict[str, Any]:
        row = result.as_dict()
        groups = {f"p({label})": f"{p:.6g}" for label, p in row.pop("groups", {}).items()}
        return row | (row.pop("lattice", None) or {}) | groups

    def _text(self, row: dict[str, Any]) -> str:
        return _csv_line([row.get(name, "") for name in self.columns])


def name_of(text: str) -> str:
    """A file's name as `open` takes it, from the column `file` of a CSV table."""
    return re.sub(r"\\udc([89a-f][0-9a-f])", lambda found: chr(0xDC00 + int(found[1], 16)), text)


def _csv_line(values: Sequence[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(["" if v is None else v for v in values])
    return line.getvalue().encode("utf-8", "backslashreplace").decode()


def _lines(path: Path) -> Iterator[str]:
    """The complete lines; a last one without a line end was cut off by an interruption, unless it is the only one."""
    end = _end_of_rows(path)
    with path.open("rb") as file:
        for line in file:
            if end == 0 or file.tell() <= end:
                yield line.decode("utf-8")


def _end_of_rows(path: Path) -> int:
    """Bytes up to the end of the last line that has one."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - 65536)
            file.seek(start)
            at = file.read(end - start).rfind(b"\n")
            if at >= 0:
                return start + at + 1
            end = start
    return 0
