"""Failures of MLflow's store, each as one line."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from ...hierarchy import HierError


class StoreError(HierError):
    """The store of trainings cannot be used; says which, why and what to do."""


def shown(text: object) -> str:
    """The first line of `text` that says what happened, shortened, without passwords in addresses."""
    lines = [line for line in str(text).splitlines() if not line.startswith("(raised as a result of")]
    line = (lines or [""])[0]  # SQLAlchemy says first when it happened
    line = re.sub(r"//[^/@\s]*@", "//***@", line)
    return line if len(line) < 240 else line[:237] + "..."


def reason(error: Exception) -> str:
    """Why the store failed, in a few words; MLflow's own account of a dead server is a paragraph."""
    text = str(error)
    if "MLFLOW_ALLOW_FILE_STORE" in text:
        return (
            "this MLflow keeps no runs in a folder: set MLFLOW_TRACKING_URI=sqlite:///mlruns/mlflow.db, "
            "or MLFLOW_ALLOW_FILE_STORE=true"
        )
    if "failed with exception" in text:
        cause = re.search(r"\[Errno -?\d+\] (\w[\w ]*)|(timed out)", text)
        return "it does not answer" + (f" ({(cause[1] or cause[2]).lower()})" if cause else "")
    return shown(text)


def store_errors() -> tuple[type[Exception], ...]:
    """What MLflow raises when its store fails; OSError covers requests, ModuleNotFoundError a database's driver."""
    from alembic.util.exc import CommandError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, SQLAlchemyError, CommandError, sqlite3.Error, OSError, ModuleNotFoundError


@contextmanager
def telling(uri: str) -> Iterator[None]:
    """Turn what a failing store at `uri` raises into a StoreError."""
    try:
        yield
    except store_errors() as error:
        raise StoreError(f"MLflow's store {shown(uri)} failed: {reason(error)}") from error
