"""MLflow's page in a real browser, as `hier ui` opens it. Nothing but loopback addresses is reached."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from hier.pipelines.sender import KEY
from hier.pipelines.tracking import Store, store
from hier.pipelines.ui import COLUMNS

pytest.importorskip("selenium", reason="the browser is driven by selenium: pip install .[test]")
SCRIPT = Path(__file__).parents[2] / "docs" / "mlflow_picture.py"
NODES = {"rotation": "rotation", "reflection-1": "reflection", "reflection-2": "reflection", "finer-1": "finer"}
FIGURES = {name: (index + 1) / 8 for index, name in enumerate(COLUMNS)}


@pytest.fixture(scope="module")
def picture() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mlflow_picture", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if module.chromium_and_driver() is None:
        pytest.skip("no Chromium with chromedriver: apt-get install chromium chromium-driver")
    return module


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    where = store(tmp_path / "mlruns")
    with where.training("train 4-nodes", {"seed": 0}, {}, tmp_path / "run.txt") as training:
        for name, level in NODES.items():
            with training.node(name, level, {"seed": 0}, {}) as run:
                run.metrics(FIGURES)
    return where


@pytest.mark.browser
def test_the_page_shows_all_nodes_side_by_side(picture: ModuleType, trained: Store, tmp_path: Path) -> None:
    shown = picture.take(trained, tmp_path / "page.png")
    assert set(shown) == {"train 4-nodes", *(f"node/{name}" for name in NODES)}
    for name, level in NODES.items():
        row = shown[f"node/{name}"]
        assert row["tags.`hier.level`"] == level
        # the table draws the columns that fit into the window
        for column in COLUMNS[:4]:
            assert row[f"metrics.`{column}`"] == str(FIGURES[column])
    assert shown["train 4-nodes"]["metrics.`valid/accuracy`"] == "-"
    assert KEY not in str(shown)
    assert (tmp_path / "page.png").stat().st_size > 10_000
