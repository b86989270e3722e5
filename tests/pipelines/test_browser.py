"""MLflow's page in a real browser, as `hier ui` opens it. Nothing but loopback addresses is reached."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hier.hierarchy import Tree, load_tree
from hier.models.bundle import Card, NodeCard, save_bundle
from hier.models.node import NodeClassifier, NodeSettings
from hier.pipelines.tracking.promotion import promote
from hier.pipelines.tracking.runs import PHOTOGRAPHS, Store, store
from hier.pipelines.tracking.sender import KEY
from hier.pipelines.tracking.view import COLUMNS

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
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    if module.chromium_and_driver() is None:
        pytest.skip("no Chromium with chromedriver: apt-get install chromium chromium-driver")
    return module


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A training of four nodes; one of them with two versions, the first its champion."""
    folder = tmp_path_factory.mktemp("trained")
    tree = load_tree("wallpaper")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        where = store(folder / "mlruns")
        for training_number, names in enumerate((NODES, ["rotation"])):
            title, resume = f"train {len(names)}-nodes", folder / f"run-{training_number}.txt"
            with where.training(title, {"seed": 0}, {}, resume) as training:
                for name in names:
                    with training.node(name, NODES[name], {"seed": 0}, {PHOTOGRAPHS: "built-in"}) as run:
                        run.metrics(FIGURES)
                        run.confusion(np.eye(len(tree.choices(name)), dtype=int), tree.choices(name))
                        if name == "rotation":
                            run.model(card_of(folder / f"{training_number}", tree, name))
        promote(where, tree, ["rotation"], 1)
    return where


def card_of(folder: Path, tree: Tree, name: str) -> Path:
    """A bundle of one node with random weights."""
    node = NodeClassifier(NodeSettings(tree.choices(name), "test_convnext3"))
    inside = NodeCard(choices=tree.choices(name), backbone="test_convnext3", side=node.side)
    card = Card(hier="0", created="", tree=tree.to_spec(), nodes={name: inside})
    save_bundle(folder / f"{name}.json", card, {name: node})
    return folder / f"{name}.json"


@pytest.fixture(scope="module")
def shown(picture: ModuleType, trained: Store) -> Iterator[Any]:
    """MLflow's pages on that store."""
    with picture.pages(trained) as pages:
        yield pages


@pytest.mark.slow
@pytest.mark.browser
def test_the_page_shows_all_nodes_side_by_side(shown: Any, tmp_path: Path) -> None:
    table = shown.runs(len(NODES) + 2)
    assert set(table) == {"train 4-nodes · seed 0", "train 1-nodes · seed 0", *(f"{name} · seed 0" for name in NODES)}
    for name in NODES:
        row = table[f"{name} · seed 0"]
        assert row["tags.`photographs`"] == "built-in"
        # the table draws the columns that fit into the window
        for column in COLUMNS[:4]:
            assert row[f"metrics.`{column}`"] == str(FIGURES[column])
    assert table["train 4-nodes · seed 0"]["metrics.`valid/accuracy`"] == "-"
    assert KEY not in str(table)
    shown.save(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.browser
def test_charts_of_nodes_and_epochs_are_prepared(shown: Any) -> None:
    text = shown.charts()
    assert "Accuracy by node" in text
    assert "valid/accuracy" in text


@pytest.mark.slow
@pytest.mark.browser
def test_the_run_of_a_training_leads_to_its_nodes(shown: Any) -> None:
    text = shown.run("train 4-nodes · seed 0")
    assert "Child runs" in text
    for name in NODES:
        assert f"{name} · seed 0" in text
    text = shown.compared(["finer-1 · seed 0", "reflection-2 · seed 0"])
    assert "Comparing 2 Runs" in text
    assert "valid/accuracy" in text


@pytest.mark.slow
@pytest.mark.browser
def test_a_nodes_confusions_are_a_picture(shown: Any) -> None:
    width, height = shown.confusion("reflection-1 · seed 0")
    assert min(width, height) > 200
    assert "confusion.png" in shown.driver.find_element("tag name", "body").text


@pytest.mark.slow
@pytest.mark.browser
def test_registered_models_bear_their_aliases(shown: Any, trained: Store) -> None:
    text = shown.models(["hier-rotation"])
    assert "@ candidate" in text, "the list shows one alias of a model, and how many more there are"
    assert "+1" in text
    assert shown.model("hier-rotation") == {"2": ["candidate"], "1": ["champion"]}
    promote(trained, load_tree("wallpaper"), ["rotation"])
    assert shown.model("hier-rotation") == {"2": ["candidate", "champion"], "1": []}
