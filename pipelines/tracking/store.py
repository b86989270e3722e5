"""Opening MLflow's store, quietly. MLflow is imported when it is first needed."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from .errors import StoreError, reason, shown, store_errors
from .sender import Sender

EXPERIMENT = "hier"
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


def quiet() -> None:
    """Keep MLflow from chatting, phoning home and waiting for minutes; the user's own variables win."""
    for key, value in QUIET.items():
        os.environ.setdefault(key, value)
    for name in ("mlflow", "alembic", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL if name == "mlflow" else logging.ERROR)


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
        raise StoreError(f"MLflow's store {shown(uri)} cannot be used: {reason(error)}") from error
    return Sender(client, identity, uri)


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
    """Try to write: MLflow itself would try a database it cannot open for two minutes."""
    from sqlalchemy.engine import make_url

    path = make_url(uri).database
    if path and path != ":memory:":
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=LOCK_PATIENCE, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            # a read-only database is locked without complaint: only writing shows it
            (number,) = database.execute("PRAGMA user_version").fetchone()
            database.execute(f"PRAGMA user_version = {number}")
            database.execute("ROLLBACK")
