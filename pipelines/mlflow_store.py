"""Records into MLflow. This is the only module that talks to it; MLflow is imported when it is first needed."""

from __future__ import annotations

import logging
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..hierarchy import HierError
from .node_artifacts import confusion_figure, log_node, slug
from .records import Record

EXPERIMENT = "hier"
KEY = "hier.key"  # tag by which a run is found again, whichever store it is in
MODEL = "hier.model"
CANDIDATE = "candidate"
LOCK_PATIENCE = 5.0  # s for another process to finish writing
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
logger = logging.getLogger("hier")


class StoreError(HierError):
    """The store of trainings cannot be used; says which, why and what to do."""


def quiet() -> None:
    """Keep MLflow from chatting, phoning home and waiting for minutes; the user's own variables win."""
    for key, value in QUIET.items():
        os.environ.setdefault(key, value)
    for name in ("mlflow", "alembic", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL if name == "mlflow" else logging.ERROR)


def shown(text: object) -> str:
    """The first line of `text`, shortened, without passwords in addresses."""
    line = (str(text).splitlines() or [""])[0]
    line = re.sub(r"//[^/@\s]*@", "//***@", line)
    return line if len(line) < 240 else line[:237] + "..."


def store_errors() -> tuple[type[Exception], ...]:
    """What MLflow raises when its store fails; OSError covers requests, ModuleNotFoundError a database's driver."""
    from alembic.util.exc import CommandError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, SQLAlchemyError, CommandError, sqlite3.Error, OSError, ModuleNotFoundError


def connect(uri: str, artifacts: Path) -> Sender:
    """Open the store at `uri`, made if it is a database that is not there yet; StoreError if it cannot be used.

    `artifacts` is where a database's artifacts go; a server decides for itself.
    """
    quiet()
    try:
        import mlflow

        if uri.startswith("sqlite:"):
            _try_sqlite(uri)
        quiet()  # importing mlflow has set its loggers up anew
        with _environment_kept("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
            mlflow.set_tracking_uri(uri)
            mlflow.set_registry_uri(uri)
        client = mlflow.MlflowClient(uri, uri)
        identity = _experiment(client, None if _is_server(uri) else artifacts.resolve().as_uri())
        with _environment_kept("MLFLOW_EXPERIMENT_ID"):
            mlflow.set_experiment(experiment_id=identity)
    except store_errors() as error:
        raise StoreError(f"MLflow's store {shown(uri)} cannot be used: {shown(error)}") from error
    return Sender(client, identity)


def _is_server(uri: str) -> bool:
    return uri.startswith(("http:", "https:", "databricks"))


def _experiment(client: Any, artifacts: str | None) -> str:
    """The id of the experiment, made if need be; another process may make it at the same time."""
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        try:
            return str(client.create_experiment(EXPERIMENT, artifacts))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            experiment = client.get_experiment_by_name(EXPERIMENT)
    elif experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return str(experiment.experiment_id)


@contextmanager
def _environment_kept(*names: str) -> Iterator[None]:
    """Undo what MLflow's setters write into the environment: it would pass for the user's own wish later."""
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _try_sqlite(uri: str) -> None:
    """Ask for the write lock: MLflow itself would try a database it cannot open for two minutes."""
    from sqlalchemy.engine import make_url

    path = make_url(uri).database
    if path and path != ":memory:":
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=LOCK_PATIENCE, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("ROLLBACK")


@dataclass
class Known:
    """A run in the store, and what it already holds, so that nothing is told twice."""

    id: str
    done: bool = False
    model: str | None = None
    steps: dict[str, set[int]] = field(default_factory=dict)


@dataclass
class Sender:
    """An open store. `send` may raise any of `store_errors`; sending the same record again does no harm."""

    client: Any
    experiment: str
    runs: dict[str, Known] = field(default_factory=dict)

    def send(self, record: Record) -> None:
        """Tell the store. A record that the store holds to be invalid is reported and left out."""
        from mlflow.exceptions import MlflowException

        try:
            self._send(record)
        except MlflowException as error:
            if error.error_code != "INVALID_PARAMETER_VALUE":
                raise
            logger.warning("MLflow refuses the %s of a run: %s", record.kind, shown(error))

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
            case "confusion":
                self.client.log_dict(run.id, data, "confusion.json")
                self.client.log_figure(run.id, confusion_figure(data["counts"], data["choices"]), "confusion.png")
            case "model":
                self._model(run, data["node"], Path(data["card"]))
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

    def _model(self, run: Known, node: str, card: Path) -> None:
        if not (card.exists() and card.with_suffix(".safetensors").exists()):
            logger.warning("the model of node %s is not sent to MLflow: %s is gone", node, card)
            return
        if run.model is None:
            run.model = log_node(run.id, node, card)
            self.client.set_tag(run.id, MODEL, run.model)
        name = f"hier-{slug(node)}"
        if not any(v.run_id == run.id for v in self.client.search_model_versions(f"name = '{name}'")):
            if not self.client.search_registered_models(f"name = '{name}'"):
                self.client.create_registered_model(name, description=f"Classifier at node {node} of the tree.")
            made = self.client.create_model_version(
                name, f"models:/{run.model}", run.id, model_id=run.model, await_creation_for=0
            )
            self.client.set_registered_model_alias(name, CANDIDATE, made.version)
