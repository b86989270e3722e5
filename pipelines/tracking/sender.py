"""Records into MLflow's tables, each of them once."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .artifacts import PREFIX, log_bundle
from .described import about_model, about_version, figures_of
from .errors import shown
from .records import Record

KEY = "hier.key"  # tag by which a run is found again, whichever store it is in
MODEL = "hier.model"
CANDIDATE, CHAMPION = "candidate", "champion"  # aliases: what a training made last, and what was chosen
logger = logging.getLogger("hier")


@dataclass
class Known:
    """A run in the store, and what it already holds, so that nothing is recorded twice."""

    id: str
    done: bool = False
    model: str | None = None
    steps: dict[str, set[int]] = field(default_factory=dict)


@dataclass
class Sender:
    """An open store. `send` may raise any of `store_errors`; sending the same record again does no harm."""

    client: Any
    experiment: str
    uri: str
    runs: dict[str, Known] = field(default_factory=dict)

    def send(self, record: Record) -> None:
        """Send a record to the store. One that the store rejects as invalid is reported and skipped."""
        from mlflow.exceptions import MlflowException

        try:
            self._send(record)
        except MlflowException as error:
            if error.error_code != "INVALID_PARAMETER_VALUE":
                raise
            logger.warning("MLflow rejects the %s of a run: %s", record.kind, shown(error))

    def _send(self, record: Record) -> None:
        data = record.data
        if record.kind == "start":
            return self._start(record)
        run = self._find(record.run)
        if run is None or run.done:
            return None
        match record.kind:
            case "metrics":
                self._metrics(run, data["values"], data["step"], record.time)
            case "input":
                self._input(run, data)
            case "confusion":
                from ..drawing.charts import confusion_figure

                self.client.log_dict(run.id, data, "confusion.json")
                self.client.log_figure(run.id, confusion_figure(data["counts"], data["choices"]), "confusion.png")
            case "file":
                self._file(run, Path(data["path"]))
            case "model":
                self._model(run, data["name"], data["code"], Path(data["card"]), data.get("alias", CANDIDATE))
            case "end":
                self.client.set_terminated(run.id, data["status"], record.time)
                run.done = data["status"] == "FINISHED"
        return None

    def _find(self, key: str) -> Known | None:
        if key not in self.runs:
            found = self.client.search_runs([self.experiment], f"tags.`{KEY}` = '{key}'", max_results=1)
            if not found:
                return None
            info, data = found[0].info, found[0].data
            steps = {m: {p.step for p in self.client.get_metric_history(info.run_id, m)} for m in data.metrics}
            self.runs[key] = Known(info.run_id, info.status == "FINISHED", data.tags.get(MODEL), steps)
        return self.runs[key]

    def _start(self, record: Record) -> None:
        from mlflow.entities import Param

        data = record.data
        run = self._find(record.run)
        if run is None:
            tags = {**data["tags"], KEY: record.run, "mlflow.source.name": "hier", "mlflow.source.type": "LOCAL"}
            if data["parent"] is not None and (parent := self._find(data["parent"])) is not None:
                tags["mlflow.parentRunId"] = parent.id
            made = self.client.create_run(self.experiment, record.time, tags, run_name=data["name"])
            run = self.runs[record.run] = Known(made.info.run_id)
        elif not run.done:
            self.client.update_run(run.id, status="RUNNING")
        if not run.done:
            self.client.log_batch(run.id, params=[Param(k, v) for k, v in data["params"].items()])

    def _metrics(self, run: Known, values: dict[str, float], step: int | None, time: int) -> None:
        """Values at `step`; None is the last step there is, for what is measured once, at the end."""
        from mlflow.entities import Metric

        if step is None:
            step = max((s for steps in run.steps.values() for s in steps), default=0)
        new = {name: value for name, value in values.items() if step not in run.steps.get(name, ())}
        self.client.log_batch(run.id, metrics=[Metric(name, value, time, step) for name, value in new.items()])
        for name in new:
            run.steps.setdefault(name, set()).add(step)

    def _input(self, run: Known, data: dict[str, Any]) -> None:
        """MLflow keeps a dataset of a name and digest once, and a run's use of it once."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        source, profile = (json.dumps(data[key], sort_keys=True) for key in ("source", "profile"))
        dataset = Dataset(data["name"], data["digest"], "hier", source, profile=profile)
        context = InputTag("mlflow.data.context", data["context"])
        self.client.log_inputs(run.id, [DatasetInput(dataset, [context])])

    def _file(self, run: Known, path: Path) -> None:
        if path.exists():
            self.client.log_artifact(run.id, str(path))
        else:
            logger.warning("%s is not sent to MLflow: it is gone", path)

    def _model(self, run: Known, name: str, code: str, card: Path, alias: str) -> None:
        if not (card.exists() and card.with_suffix(".safetensors").exists()):
            logger.warning("model %s is not sent to MLflow: %s is gone", name, card)
            return
        if run.model is None:
            run.model = log_bundle(self.client, self.experiment, run.id, name.removeprefix(PREFIX), code, card)
            self.client.set_tag(run.id, MODEL, run.model)
        if not any(v.run_id == run.id for v in self.client.search_model_versions(f"name = '{name}'")):
            made_by = self.client.get_run(run.id)
            if not self.client.search_registered_models(f"name = '{name}'"):
                self.client.create_registered_model(name, description=about_model(made_by.data.tags))
            # the address models:/ID would be looked up in the store that the program has set for itself
            source = self.client.get_logged_model(run.model).artifact_location
            made = self.client.create_model_version(
                name, source, run.id, figures_of(made_by), model_id=run.model, await_creation_for=0,
                description=about_version(made_by),
            )  # fmt: skip
            self.client.set_registered_model_alias(name, alias, made.version)
