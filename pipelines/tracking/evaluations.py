"""An evaluation as a run of MLflow: its figures, what was measured on what, and the confusion matrix."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from hashlib import sha256

import numpy as np

from ..measuring.evaluate import Report
from .runs import Store


def record(store: Store, report: Report, tree: str, params: Mapping[str, object], device: str) -> None:
    """Record a report; `params` say which model answered, and how.

    If the store fails a warning says so, and the figures are sent later, as those of trainings are.
    """
    told = {name: value for name, value in report.data.items() if value is not None}
    of = str(told.get("source") or told.get("folder"))
    figures = {"accuracy": report.accuracy, "loss": report.loss, "ece": report.ece, "brier": report.brier,
               "refused": report.refused / report.count}  # fmt: skip
    figures |= {f"{level}_accuracy": value for level, value in report.levels.items()}
    resume = store.root / "work" / f"evaluate-{uuid.uuid4().hex}.txt"
    tags = {"hier.tree": tree, "hier.device": device}
    what = {**params, **told, "count": report.count}
    try:
        with store.training(f"evaluate {of}", what, tags, resume) as run:
            run.dataset(of, sha256(json.dumps(told, default=str).encode()).hexdigest()[:12], told, report.count, "test")
            run.metrics({f"test/{name}": value for name, value in figures.items()})
            run.confusion(np.asarray(report.confusion), report.labels)
    finally:
        resume.unlink(missing_ok=True)
