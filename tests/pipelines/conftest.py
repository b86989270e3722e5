"""What tests of the store share: an empty one that is made once, and ports with nobody behind."""

from __future__ import annotations

import shutil
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hier.models.evidence.representation import EVIDENCE, MAP_CHANNELS, SIDE
from hier.pipelines.generating.parts import Arrays, Part
from hier.pipelines.tracking.runs import store


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables and no runs: making them takes seconds."""
    folder = tmp_path_factory.mktemp("empty")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        store(folder).connect()
    shutil.copy(folder / "mlflow.db", folder / "empty.db")
    with sqlite3.connect(folder / "empty.db") as database:
        database.execute("DELETE FROM experiment_tags")
        database.execute("DELETE FROM experiments")
    return folder / "empty.db"


@pytest.fixture(scope="session")
def made_up() -> Callable[[tuple[Part, str]], Arrays]:
    """Stands in for `parts.make`."""

    def make(job: tuple[Part, str]) -> Arrays:
        """Evidence in no time, by seed and index."""
        part, _ = job
        rng = np.random.default_rng([part.dataset.seed, part.start])
        count = part.stop - part.start
        maps = rng.random((count, MAP_CHANNELS, SIDE, SIDE), dtype=np.float32).astype(np.float16)
        return maps, rng.random((count, EVIDENCE), dtype=np.float32), rng.random((count, 18), dtype=np.float32)

    return make


@pytest.fixture
def root(tmp_path: Path, empty: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = tmp_path / "mlruns"
    root.mkdir()
    shutil.copy(empty, root / "mlflow.db")
    return root


@pytest.fixture
def dead() -> str:
    """The address of a server that is not there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
