"""Tables of many images: made as the answers come, and written to one file, a row for each image and group."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...hierarchy.files import output
from ...hierarchy.names import in_table
from ..reading.picture import Reading
from .results import Failure, Prediction
from .table import GroupRow

if TYPE_CHECKING:
    from .many import Answering

PLACES = ("a", "b", "origin")  # points, which take two columns each
COLUMNS = (
    "file",
    *(f.name for f in fields(GroupRow) if f.name not in PLACES),
    *(f"{p}_{x}" for p in PLACES for x in "xy"),
)


class Tabled:
    """Answers whose tables and refined cells are made while their images are in memory."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering

    def predict_each(
        self, images: Iterable[str], advance: Callable[[int], None], reading: Reading, symmetry: bool
    ) -> Iterator[Prediction | Failure]:
        """One result for each image, in order."""
        for result in self._answering.predict_each(images, advance, reading, symmetry):
            if not isinstance(result, Failure):
                _ = result.table, result.refined
            yield result


@contextmanager
def table_file(path: Path) -> Iterator[Callable[[Prediction], None]]:
    """Yields what adds the rows of an image to a CSV file, which is there, whole, when the block succeeds.

    Without rows for images that show no pattern. HierError when it cannot be written.
    """
    with output(path) as made, made.open("w", encoding="utf-8", newline="") as file:
        lines = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        lines.writeheader()
        yield lambda found: lines.writerows(_flat(found.file, row) for row in found.table)


def _flat(name: str, row: GroupRow) -> dict[str, Any]:
    plain = row.as_dict()
    for place in PLACES:
        plain[f"{place}_x"], plain[f"{place}_y"] = plain.pop(place) or ("", "")
    cells = {k: f"{v:.6g}" if isinstance(v, float) else "" if v is None else v for k, v in plain.items()}
    return {"file": in_table(name), **cells}
