"""Models that were logged in MLflow before the packages had rooms: their code is in `logged/`, as it was then."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from hier.hierarchy import load_tree
from hier.models.bundle import BUNDLED, Card, NodeCard, save_bundle
from hier.models.node import NodeClassifier, NodeSettings
from hier.pipelines.loading import load_node
from hier.pipelines.tracking.artifacts import example

EXAMPLES = Path(__file__).parents[2] / "examples"


def logged(code: str, card: Path, folder: Path) -> Any:
    """The model of that code and bundle, through MLflow."""
    shutil.copy(Path(__file__).with_name("logged") / f"{code}.txt", folder / f"{code}.py")
    artifacts = {"card": str(card), "weights": str(card.with_suffix(".safetensors"))}
    mlflow.pyfunc.save_model(
        folder / "model", python_model=str(folder / f"{code}.py"), artifacts=artifacts, pip_requirements=["numpy"]
    )
    return mlflow.pyfunc.load_model(str(folder / "model"))


def test_a_node_still_answers(tmp_path: Path) -> None:
    tree = load_tree("wallpaper")
    node = NodeClassifier(NodeSettings(tree.choices("rotation"), "test_convnext3"))
    cards = {"rotation": NodeCard(choices=node.settings.choices, backbone="test_convnext3", side=node.side)}
    card = tmp_path / "node.json"
    save_bundle(card, Card(hier="0", created="then", tree=tree.to_spec(), nodes=cards), {"rotation": node})
    found = logged("node_pyfunc", card, tmp_path).predict(example())
    np.testing.assert_allclose(found, load_node(card)(example()), atol=1e-6)


@pytest.mark.parametrize("name", ["cat_p4g"])
def test_a_classifier_still_answers(tmp_path: Path, name: str) -> None:
    image = base64.b64encode((EXAMPLES / f"{name}.png").read_bytes()).decode()
    found = logged("classifier_pyfunc", BUNDLED, tmp_path).predict(pd.DataFrame({"image": [image]}))
    assert list(found["group"]) == [name.rpartition("_")[2]]
