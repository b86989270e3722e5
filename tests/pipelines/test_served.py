"""The model that MLflow keeps of a tree, as a server or Spark asks it."""

from __future__ import annotations

import base64
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from hier.pipelines.serving.classifier_pyfunc import ClassifierModel
from hier.pipelines.tracking.artifacts import as_base64, example
from mlflow.exceptions import MlflowException


@pytest.fixture(scope="module")
def model(card_path: Path) -> ClassifierModel:
    made = ClassifierModel()
    made.load_context(SimpleNamespace(artifacts={"card": str(card_path)}))
    return made


def test_base64_may_have_lines(model: ClassifierModel) -> None:
    plain = as_base64(example()[0, 0])
    lines = base64.encodebytes(base64.b64decode(plain)).decode().replace("\n", "\r\n")
    found = model.predict(None, pd.DataFrame({"image": [plain, lines, f"data:image/png;base64,{plain}"]}))
    assert found["probability"].nunique() == 1


def test_an_image_that_cannot_be_used_is_an_error_or_a_row(model: ClassifierModel) -> None:
    torn = base64.b64encode(b"torn").decode()
    images = pd.DataFrame({"image": [torn, as_base64(example()[0, 0]), torn]})
    with pytest.raises(MlflowException, match="image 0: not an image format"):
        model.predict(None, images)
    found = model.predict(None, images, {"errors": "rows"})
    assert list(found["error"].isna()) == [False, True, False]
    assert found["group"].isna()[[0, 2]].all()
    alone = model.predict(None, images[1:2])
    assert found["probability"][1] == alone["probability"][0]
    only = model.predict(None, images[:1], {"errors": "rows"})
    assert set(only.columns) == set(found.columns) == {*alone.columns, "error"}
