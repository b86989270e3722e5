"""Evaluate on images with more than one right answer: a folder with a `labels.csv`."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from ...hierarchy import GROUP_NAMES, HierError, UnknownNameError, group
from ...hierarchy.names import from_table
from ...models.classifier import Classifier
from ...models.routing.router import Router
from ..straightening.options import WHERE_IT_HELPS, Rectification
from .files import answer_files

TABLE = "labels.csv"
NEEDED = ("file", "acceptable")
MAYBE = ("sure", "kind")
NONE = "none"  # not periodic is a right answer
SURE = 0.99
EXPECTED = f"{TABLE} has the columns file, acceptable (groups with | between them, or {NONE}), and maybe sure and kind"


@dataclass(frozen=True)
class Row:
    """An image of the table: its `name`, the `acceptable` labels, the values of the columns `sure` and `kind`.

    The name is a path relative to the table's folder.
    """

    name: str
    acceptable: tuple[str, ...]
    sure: str
    kind: str


@dataclass(frozen=True)
class Tally:
    """How many of `count` images were answered rightly, answered wrongly, refused wrongly, and not read at all."""

    count: int
    right: int
    wrong: int
    refused: int
    unread: int

    @property
    def share(self) -> float:
        """Share of right ones among all, unread ones included, in [0, 1]."""
        return self.right / self.count


@dataclass(frozen=True)
class LabelledReport:
    """Figures on a folder with a `labels.csv`.

    An answer is right if it is among the acceptable ones; a refusal as non-periodic is the answer ``none``, and if
    that is not acceptable it counts as refused, not as wrong. `sure` and `kind` are the same by the values of these
    columns, empty without the column. `confident`: among answers that name a label with a probability of at least
    0.99, how many there are and how many are right. `mistakes` are the wrong answers: file, acceptable, answer and
    probability. `refusals`: file, acceptable, and the probability that the image is periodic. `errors`: why files
    could not be read.
    """

    total: Tally
    sure: dict[str, Tally]
    kind: dict[str, Tally]
    confident: dict[str, int]
    mistakes: list[dict[str, Any]]
    refusals: list[dict[str, Any]]
    errors: dict[str, str]
    data: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON; the total's numbers stand at its top."""
        made: dict[str, Any] = asdict(self)
        total: dict[str, Any] = made.pop("total")
        return total | {"share": self.total.share} | made


def has_table(folder: Path) -> bool:
    """Whether `folder` has a `labels.csv`."""
    return (folder / TABLE).is_file()


def read_table(folder: Path, labels: Sequence[str]) -> list[Row]:
    """The rows of ``folder/labels.csv``; files are named relative to the folder.

    A file's name may stand as a table of ``hier predict`` has it. `labels` are the model's; of wallpaper groups every
    name is understood that `hierarchy.group` understands. Raises HierError with the table and the row, counted from the
    header's 1, for what cannot be used.
    """
    path = folder / TABLE
    try:
        lines = io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")
    except UnicodeDecodeError as error:
        row = error.object[: error.start].count(b"\n") + 1
        raise HierError(f"{path}, row {row}: not UTF-8: save the table as CSV in UTF-8") from error
    except OSError as error:
        raise HierError(f"{path} cannot be read: {error.strerror or error}") from error
    reader = csv.reader(lines, strict=True)
    try:
        table = list(reader)
    except csv.Error as error:
        raise HierError(f"{path}, row {reader.line_num}: no CSV ({error}): check its quotes") from error
    header = [name.strip().lower() for name in table[0]] if table else []
    if missing := [name for name in NEEDED if name not in header]:
        have = ", ".join(filter(None, header)) or "none"
        cause = " between commas, not semicolons" if ";" in have and "," not in "".join(table[0]) else ""
        raise HierError(f"{path} lacks the column {' and '.join(missing)}{cause} (it has: {have}): {EXPECTED}")
    if twice := [name for name in (*NEEDED, *MAYBE) if header.count(name) > 1]:
        raise HierError(f"{path} has the column {twice[0]} twice: {EXPECTED}")
    found: dict[str, tuple[int, Row]] = {}
    for number, cells in enumerate(table[1:], 2):
        if not any(cell.strip() for cell in cells):
            continue
        place = f"{path}, row {number}"
        if len(cells) > len(header):
            raise HierError(f"{place}: {len(cells)} values for {len(header)} columns: quote values that hold commas")
        cell = dict(zip_longest(header, (text.strip() for text in cells), fillvalue=""))
        name = from_table(cell["file"])
        if not name:
            raise HierError(f"{place}, column file: no file is named")
        if name in found:
            raise HierError(f"{place}: {name} has row {found[name][0]} already: one row for each file")
        acceptable = _acceptable(cell["acceptable"], labels, f"{place}, column acceptable ({name})")
        found[name] = number, Row(name, acceptable, cell.get("sure", ""), cell.get("kind", ""))
    if not found:
        raise HierError(f"{path} has no rows: {EXPECTED}")
    return [row for _, row in found.values()]


def _acceptable(text: str, labels: Sequence[str], place: str) -> tuple[str, ...]:
    names = [name.strip() for name in text.split("|") if name.strip()]
    if not names:
        raise HierError(f"{place}: no acceptable group: give names with | between them, or {NONE} for not periodic")
    return tuple(dict.fromkeys(_label(name, labels, place) for name in names))


def _label(name: str, labels: Sequence[str], place: str) -> str:
    if name in labels:
        return name
    if name.lower() == NONE:
        return NONE
    if set(labels) <= set(GROUP_NAMES):
        with suppress(UnknownNameError):
            name = group(name).name
    if name not in labels:
        raise UnknownNameError(f"group in {place}", name, labels, f"; {NONE} if not periodic; | between several")
    return name


def evaluate_table(
    classifier: Classifier, folder: Path, rows: Sequence[Row], router: Router = "soft",
    advance: Callable[[int], None] = lambda _: None, tolerance: float | None = None,
    rectification: Rectification = WHERE_IT_HELPS,
) -> LabelledReport:  # fmt: skip
    """On the `rows` of the folder's table. Missing and unreadable files are listed in `errors`, however many."""
    errors: dict[str, str] = {}
    verdicts = ["unread"] * len(rows)
    confident = {"count": 0, "right": 0}
    mistakes: dict[int, dict[str, Any]] = {}
    refusals: dict[int, dict[str, Any]] = {}
    files = [folder / row.name for row in rows]
    for indices, answer in answer_files(classifier, files, router, errors, advance, tolerance, rectification):
        p = answer.log_probabilities.gather(1, answer.winners[:, None])[:, 0].exp().tolist()
        for k, i in enumerate(indices):
            row, periodic = rows[i], float(answer.pattern[k])
            said = classifier.labels[int(answer.winners[k])] if periodic >= 0.5 else NONE
            told = {"file": row.name, "acceptable": list(row.acceptable)}
            verdicts[i] = "right" if said in row.acceptable else "refused" if said == NONE else "wrong"
            if verdicts[i] == "wrong":
                mistakes[i] = told | {"answer": said, "probability": p[k]}
            elif verdicts[i] == "refused":
                refusals[i] = told | {"periodic_probability": periodic}
            if said != NONE and p[k] >= SURE:
                confident["count"] += 1
                confident["right"] += verdicts[i] == "right"
    return LabelledReport(
        total=_tally(verdicts),
        sure=_by([row.sure for row in rows], verdicts),
        kind=_by([row.kind for row in rows], verdicts),
        confident=confident,
        mistakes=[mistakes[i] for i in sorted(mistakes)],
        refusals=[refusals[i] for i in sorted(refusals)],
        errors=errors,
        data={"folder": folder.name, "tolerance": tolerance},
    )


def _tally(verdicts: Sequence[str]) -> Tally:
    return Tally(len(verdicts), *(verdicts.count(name) for name in ("right", "wrong", "refused", "unread")))


def _by(values: Sequence[str], verdicts: Sequence[str]) -> dict[str, Tally]:
    """A tally for each value that there is, in the order of their first rows; none if all are empty."""
    there = dict.fromkeys(values) if any(values) else {}
    return {v: _tally([found for value, found in zip(values, verdicts, strict=True) if value == v]) for v in there}
