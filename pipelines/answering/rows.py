"""Tables of predictions, CSV or JSON lines: one row per image, written as it comes, resumed where they stopped.

Bytes of a file name that are not UTF-8 stand in a table as ``\\udc80`` to ``\\udcff``, as JSON and Python write them:
in JSON lines `json.loads` gives the name that `open` takes, in CSV `name_of` does. It also gives back names whose
characters a table cannot hold, and those that a spreadsheet would compute: see `hierarchy.names.in_table`.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ...hierarchy import HierError
from ...hierarchy.files import output
from ...hierarchy.names import from_table, in_table
from ..reading.files import split_inside
from .results import Failure, Prediction

Stamp = tuple[int, int] | None  # bytes and time of change (ns) of a file; None when it is not there
COLUMNS = (
    "file", "group", "statement", "probability", "confidence", "periodic", "periodic_probability", "system", "a", "b",
    "gamma", "a_length", "b_length", "unit", "asked", "verdict", "error",
)  # fmt: skip
OWN = ("bytes", "modified_ns", "run")  # what a table is resumed by
LONGEST = 2**24  # bytes of a line
KINDS = {str: "a text", int: "a whole number", type(None): "empty, as bytes is"}


class ForeignTableError(HierError):
    """A file that is not a table of predictions, or no longer; says where."""


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
    raises HierError for one that is not such a table, unless `force` replaces it, or that has rows of another run,
    unless `restart` empties it.
    """

    def __init__(self, path: Path, run: str, labels: Sequence[str], restart: bool = False, force: bool = False) -> None:
        self.path, self.run, self.labels, self._force = path, run, labels, force
        self._known: dict[str, tuple[Stamp, bool]] = {}
        self._superseded = False
        try:
            end = self._recognised(restart) if path.is_file() else 0
            if not end:
                if not path.parent.is_dir():
                    raise HierError(f"cannot write {path}: there is no folder {path.parent}, make it first")
                with output(path) as made:
                    made.write_text(self._head(), encoding="utf-8", newline="")
            self._file = path.open("ab", buffering=0)  # a buffer would retry what a full disk rejected
            if end:
                self._file.truncate(end)
        except OSError as error:
            raise HierError(f"cannot write {path}: {error.strerror or error}") from error

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
        try:
            if restart or not end:
                next(rows, None)  # the first shows whether it is such a table
                return 0
            for row in rows:
                self._note(row)
        except ForeignTableError:
            if not self._force:
                raise
            self._known, self._superseded = {}, False
            return 0
        return end

    def _write(self, text: str) -> None:
        """Append `text`, or nothing of it where the disk is full."""
        left = memoryview(text.encode())
        try:
            before = self.path.stat().st_size  # of the file by that name: it may be gone
            try:
                while left:
                    left = left[self._file.write(left) :]
            except OSError:
                if self.path.is_file():
                    os.truncate(self.path, before)
                raise
        except OSError as error:
            raise HierError(f"cannot write {self.path}: {error.strerror or error}") from error

    def _note(self, row: dict[str, Any]) -> None:
        if row["run"] != self.run:
            raise HierError(
                f"{self.path} has rows of another model or other settings (run {row['run']}, this is {self.run}): "
                "give another file, or --restart to start this one over"
            )
        when = None if row["bytes"] is None else (row["bytes"], row["modified_ns"])
        self._superseded |= row["file"] in self._known
        self._known[row["file"]] = when, not row.get("error")

    def _foreign(self, why: str) -> ForeignTableError:
        return ForeignTableError(
            f"{self.path} is not a table of predictions, or another program has changed it ({why}): give another file, "
            "or --force to replace it"
        )

    def _checked(self, row: dict[str, Any], line: int) -> dict[str, Any]:
        """The row, if what a table is resumed by is of the right kind."""
        kinds: dict[str, tuple[type, ...]] = {"file": (str,), "run": (str,)}
        kinds |= dict.fromkeys(("bytes", "modified_ns"), (int,) if row["bytes"] is not None else (type(None),))
        for name, kind in kinds.items():
            if type(row[name]) not in kind:
                raise self._foreign(f"line {line}, column {name}: {str(row[name])[:40]!r} is not {KINDS[kind[0]]}")
        return row

    def _lines(self) -> Iterator[str]:
        """The complete lines; a last one without a line end was cut off by an interruption, unless it is alone."""
        end = _end_of_rows(self.path)
        with self.path.open("rb") as file:
            for k, line in enumerate(iter(lambda: file.readline(LONGEST), b""), 1):
                if len(line) == LONGEST:
                    raise self._foreign(f"line {k} has more than {LONGEST >> 20} MB")
                if end == 0 or file.tell() <= end:
                    try:
                        yield line.decode("utf-8")
                    except UnicodeDecodeError as error:
                        raise self._foreign(f"line {k}, byte {error.start + 1} is not UTF-8") from error

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
        for k, line in enumerate(self._lines(), 1):
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                column = f", column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
                raise self._foreign(f"line {k}{column} is not JSON") from error
            if not isinstance(row, dict):
                raise self._foreign(f"line {k} is not an object")
            missing = [name for name in ("file", *OWN) if name not in row]
            if missing:
                raise self._foreign(f"line {k}: rows have no {missing[0]}")
            yield self._checked(row, k)

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
        reader = csv.reader(self._lines())
        try:
            head = next(reader, list(self.columns))
            fixed = [*zip(head, COLUMNS, strict=False), *zip(head[-len(OWN) :], OWN, strict=False)]
            if len(head) < len(fixed) or any(found != name for found, name in fixed):
                raise self._other_columns(head)
            for values in reader:
                if len(values) != len(head):
                    raise self._foreign(f"line {reader.line_num} has {len(values)} cells instead of {len(head)}")
                row: dict[str, Any] = dict(zip(head, values, strict=True))
                row |= {"file": from_table(row["file"])} | {name: _whole(row[name]) for name in OWN[:2]}
                yield self._checked(row, reader.line_num)
            if head != list(self.columns):  # told last: that the rows are of another model explains more
                raise self._other_columns(head)
        except csv.Error as error:
            raise self._foreign(f"line {reader.line_num}: {error}") from error

    def _other_columns(self, head: Sequence[str]) -> ForeignTableError:
        pairs = enumerate(zip_longest(head, self.columns, fillvalue="nothing"), 1)
        k, found, name = next(((k, found, name) for k, (found, name) in pairs if found != name))
        return self._foreign(f"line 1 names other columns: column {k} is {found[:40]!r} instead of {name!r}")

    def _row(self, result: Prediction | Failure) -> dict[str, Any]:
        row = result.as_dict()
        groups = {f"p({label})": f"{p:.6g}" for label, p in row.pop("groups", {}).items()}
        asked = row.pop("asked", None) or {}
        told = {"asked": asked.get("group"), "verdict": (asked.get("fares") or {}).get("verdict")}
        return row | (row.pop("lattice", None) or {}) | groups | told

    def _text(self, row: dict[str, Any]) -> str:
        return _csv_line([row.get(name, "") for name in self.columns])


def name_of(text: str) -> str:
    """A file's name as `open` takes it, from the column `file` of a CSV table."""
    return from_table(text)


def _csv_line(values: Sequence[Any]) -> str:
    line = io.StringIO()
    cells = ["" if v is None else in_table(v) if isinstance(v, str) else v for v in values]
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _whole(cell: str) -> int | str | None:
    """A cell as a whole number, if it is one; None for an empty one."""
    return int(cell) if re.fullmatch(r"\d{1,20}", cell, re.ASCII) else cell or None


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
