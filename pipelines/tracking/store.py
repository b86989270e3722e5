"""Opening MLflow's store, quietly. MLflow is imported when it is first needed."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from .database import ready_database
from .errors import StoreError, reason, shown, store_errors
from .sender import Sender

EXPERIMENT = "hier"
TAGS = {  # of the experiment: without the first, MLflow's page takes it for one of language models
    "mlflow.experimentKind": "custom_model_development",
    "mlflow.note.content": "Trainings of `hier`: a run for each training, inside it one for each node of the tree. "
    "`hier compare --html FILE` writes the same as one page.",
}
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "8",  # s: a server that hangs costs no more than this, once
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
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

    `artifacts` is where a database's artifacts go; a server decides for itself. The store that a Python program has
    set for its own use of MLflow stays set.
    """
    quiet()
    try:
        import mlflow

        quiet()  # importing mlflow has reset its loggers
        if uri.startswith("sqlite:"):
            ready_database(uri, artifacts)
        client = mlflow.MlflowClient(uri, uri)
        identity = _experiment(client, None if _is_server(uri) else artifacts.resolve().as_uri())
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
            return str(client.create_experiment(EXPERIMENT, artifacts, TAGS))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            experiment = client.get_experiment_by_name(EXPERIMENT)
    elif experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    with suppress(MlflowException):  # a server that may only be read still serves
        for key in TAGS.keys() - experiment.tags.keys():  # of an earlier hier; what the user wrote stays
            client.set_experiment_tag(experiment.experiment_id, key, TAGS[key])
    return str(experiment.experiment_id)
