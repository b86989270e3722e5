"""A benchmark in MLflow: one run, and a run inside it for every row, with the same columns as a training's nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from ..tracking.artifacts import slug
from ..tracking.records import Kind, Record
from ..tracking.runs import Training


@dataclass(frozen=True)
class RowRun:
    """The run of a row. Sending a record twice does no harm, so a row that resumes sends its records again."""

    training: Training
    key: str

    def put(self, kind: Kind, **data: object) -> None:
        """Send one record."""
        self.training.way.put(Record(self.key, kind, data))

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Figures at an epoch, or at the last one."""
        self.put("metrics", values={k: float(f"{v:.6g}") for k, v in values.items()}, step=step)


@contextmanager
def row_run(training: Training, row: str, params: Mapping[str, object], tags: Mapping[str, str]) -> Iterator[RowRun]:
    """Record a row as the run ``system/<row>`` inside the benchmark's, FINISHED, FAILED or KILLED as it ends."""
    run = RowRun(training, f"{training.key}/{slug(row)}")
    texts = {key: str(value) for key, value in params.items()}
    run.put("start", name=f"system/{slug(row)}", params=texts, tags=dict(tags), parent=training.key)
    status = "FAILED"
    try:
        yield run
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        run.put("end", status=status)
