"""MLflow's store in a file: whole or not there, and the store of the program that uses hier stays what it was."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import mlflow
import pytest
from hier.hierarchy import load_tree
from hier.pipelines.tracking.compare import compare
from hier.pipelines.tracking.errors import StoreError, shown
from hier.pipelines.tracking.runs import store

MAKE = "from pathlib import Path; from hier.pipelines.tracking.runs import store; store(Path('mlruns')).connect()"
KILLED = f"""
import os
from sqlalchemy import event
from sqlalchemy.engine import Engine
left = [int(os.environ["STATEMENTS"])]

@event.listens_for(Engine, "before_cursor_execute")
def stop(*_):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), int(os.environ["SIGNAL"]))

{MAKE}
"""


def usable(root: Path) -> None:
    """A training is recorded, and found by `hier compare`."""
    where = store(root)
    with (
        where.training("train", {}, {"hier.tree": "wallpaper"}, root / "run.txt") as run,
        run.node("rotation", "rotation", {}, {}) as node,
    ):
        node.metrics({"valid/accuracy": 0.5})
    assert not where.pending
    assert [e.metrics for e in compare(where, load_tree("wallpaper"), [])["rotation"]] == [{"valid/accuracy": 0.5}]


def make(folder: Path, code: str = MAKE, **variables: object) -> subprocess.Popen[str]:
    given = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW")}
    given |= {k: str(v) for k, v in variables.items()}
    return subprocess.Popen([sys.executable, "-c", code], cwd=folder, env=given, stderr=subprocess.PIPE, text=True)


def test_ctrl_c_while_the_store_is_made_leaves_none(
    tmp_path: Path, empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root, left = tmp_path / "mlruns", iter(range(60, -1, -1))

    def stop(*_: object) -> None:
        if not next(left):
            raise KeyboardInterrupt

    event.listen(Engine, "before_cursor_execute", stop)
    try:
        with pytest.raises(KeyboardInterrupt):
            store(root).connect()
    finally:
        event.remove(Engine, "before_cursor_execute", stop)
    assert not list(root.iterdir())
    with pytest.raises(StoreError, match="no trainings in"):
        compare(store(root), load_tree("wallpaper"), [])
    monkeypatch.setattr("hier.pipelines.tracking.database._make", lambda uri, path, artifacts: shutil.copy(empty, path))
    usable(root)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statements", "number"), [(3, signal.SIGINT), (60, signal.SIGINT), (150, signal.SIGKILL), (400, signal.SIGKILL)]
)
def test_a_process_killed_while_it_makes_the_store_leaves_none(
    tmp_path: Path, statements: int, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    stopped = make(tmp_path, KILLED, STATEMENTS=statements, SIGNAL=int(number))
    stopped.communicate()
    assert stopped.returncode != 0
    root = tmp_path / "mlruns"
    assert not (root / "mlflow.db").exists()
    usable(root)
    assert not [f.name for f in root.iterdir() if "unfinished" in f.name or "broken" in f.name]


@pytest.mark.slow
def test_two_first_runs_at_once_share_one_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    both = [make(tmp_path), make(tmp_path)]
    assert [(p.communicate()[1], p.returncode) for p in both] == [("", 0)] * 2
    usable(tmp_path / "mlruns")


SPOILT = {
    "between two migrations": "UPDATE alembic_version SET version_num = '451aebb31d03'",
    "before the first": "DROP TABLE alembic_version",
    "within one": "CREATE TABLE _alembic_tmp_runs (x)",
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_half_made_store_is_set_aside(root: Path, name: str, empty: Path, caplog: pytest.LogCaptureFixture) -> None:
    with closing(sqlite3.connect(root / "mlflow.db")) as database, database:
        database.execute(SPOILT[name])
    half = (root / "mlflow.db").read_bytes()
    with pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.WARNING, "hier"):
        # to make a store takes seconds; this one was made as any other
        patch.setattr("hier.pipelines.tracking.database._make", lambda uri, path, artifacts: shutil.copy(empty, path))
        usable(root)
    (kept,) = root.glob("mlflow.db.broken-*")
    assert kept.read_bytes() == half
    (warning,) = [r.getMessage() for r in caplog.records if "unfinished" in r.getMessage()]
    assert str(kept) in warning


def test_a_store_with_experiments_is_never_set_aside(root: Path) -> None:
    """It may be of another MLflow, which says so."""
    with closing(sqlite3.connect(root / "mlflow.db")) as database, database:
        database.execute(SPOILT["between two migrations"])
        database.execute("INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (1, 'mine', 'active')")
    with pytest.raises(StoreError, match="out-of-date"):
        store(root).connect()
    assert not list(root.glob("*broken*"))


def test_the_callers_own_store_stays_set(root: Path, tmp_path: Path, empty: Path, card_path: Path) -> None:
    own = f"sqlite:///{tmp_path / 'own.db'}"
    shutil.copy(empty, tmp_path / "own.db")
    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_EXPERIMENT_ID", "")
        patch.setattr("mlflow.tracking._tracking_service.utils._tracking_uri", own)
        patch.setattr("mlflow.tracking._model_registry.utils._registry_uri", own)
        theirs = mlflow.set_experiment("theirs").experiment_id
        where = store(root)
        with where.training("train", {}, {}, tmp_path / "run.txt") as run:
            run.model("wallpaper", card_path)
        from hier.pipelines.tracking.registry_files import local_model

        assert local_model("models:/hier-tree@candidate", root).exists()
        assert (mlflow.get_tracking_uri(), mlflow.get_registry_uri()) == (own, own)
        with mlflow.start_run() as made:
            assert made.info.experiment_id == theirs
        assert [m.name for m in mlflow.search_registered_models()] == []
        patch.setattr("mlflow.tracking.fluent._active_experiment_id", None)
    assert (mlflow.get_tracking_uri(), mlflow.get_registry_uri()) == before


def test_the_cause_is_reported_and_not_the_flush_that_met_it() -> None:
    text = "(raised as a result of Query-invoked autoflush; consider)\n(sqlite3.OperationalError) disk full"
    assert shown(text) == "(sqlite3.OperationalError) disk full"
