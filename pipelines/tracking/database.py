"""MLflow's store in an SQLite file: made under another name and put in place when it is whole.

MLflow makes its tables in dozens of steps, each committed on its own, which takes seconds. MLflow never again accepts a
file that an interruption left between two of them; here it is recognised and set aside.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from ...hierarchy.locks import locked

PATIENCE = 5.0  # s for another process to finish writing
logger = logging.getLogger("hier")


def ready_database(uri: str, artifacts: Path) -> None:
    """Ensure a whole, writable store in the SQLite file of `uri`. Raises any of `store_errors`.

    `artifacts` is where the artifacts of a new store go. If several processes come at once, one makes it.
    """
    from sqlalchemy.engine import make_url

    name = make_url(uri).database
    if not name or name == ":memory:":
        return
    path = Path(name)
    if not path.exists() or _half_made(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.with_name(f".{path.name}.lock"), wait=True):
            if path.exists() and _half_made(path):
                _set_aside(path)
            if not path.exists():
                _make(uri, path, artifacts)
    _try_to_write(path)


def _half_made(path: Path) -> bool:
    """Whether the making of a store was interrupted: its tables are not the newest, and it never had an experiment.

    MLflow makes an experiment as soon as the tables are there. A store of an older MLflow has one, so it is left for
    MLflow to judge.
    """
    with closing(sqlite3.connect(path, timeout=PATIENCE)) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables:
            return True
        if "experiments" not in tables or database.execute("SELECT 1 FROM experiments").fetchone():
            return False
        if any(name.startswith("_alembic_tmp_") for name in tables) or "alembic_version" not in tables:
            return True
        return database.execute("SELECT version_num FROM alembic_version").fetchall() != [(_newest(),)]


def _newest() -> str | None:
    import mlflow
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations")).get_current_head()


def _set_aside(path: Path) -> None:
    if path.stat().st_size:
        kept = path.with_name(f"{path.name}.broken-{datetime.now():%Y-%m-%d-%H%M%S}")
        path.rename(kept)
        logger.warning("%s was left unfinished by an interruption; a new one is made, the old one is %s", path, kept)
    else:
        path.unlink()


def _make(uri: str, path: Path, artifacts: Path) -> None:
    from mlflow.store.tracking import sqlalchemy_store
    from sqlalchemy.engine import make_url

    opened: Any = sqlalchemy_store.SqlAlchemyStore  # without types
    unfinished = path.with_name(f".{path.name}.unfinished")
    journal = unfinished.with_name(f"{unfinished.name}-journal")
    for left in (unfinished, journal):  # of a process that was killed
        left.unlink(missing_ok=True)
    try:
        there = make_url(uri).set(database=str(unfinished)).render_as_string(hide_password=False)
        made = opened(there, artifacts.resolve().as_uri())
        made.engine.dispose()
        os.replace(unfinished, path)
    finally:
        for left in (unfinished, journal):
            left.unlink(missing_ok=True)


def _try_to_write(path: Path) -> None:
    """MLflow itself would try a database it cannot open for two minutes."""
    with closing(sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        # a read-only database is locked without complaint: only writing shows it
        (number,) = database.execute("PRAGMA user_version").fetchone()
        database.execute(f"PRAGMA user_version = {number}")
        database.execute("ROLLBACK")
