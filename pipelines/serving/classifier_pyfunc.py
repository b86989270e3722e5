"""The model that MLflow keeps of a whole tree: images to what `hier predict --json` reports.

Copied and run by MLflow as `node_pyfunc.py` is.
"""

import base64
import tempfile
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel

import hier

SUFFIXES = {b"II*\0": ".tif", b"MM\0*": ".tif", b"\x93NUM": ".npy"}  # by first bytes; others are recognised anyway


class ClassifierModel(PythonModel):
    """A column `image` of files in base64, or of arrays (H, W) or (H, W, 3), to one row of answers for each.

    Numbers are read as `hier.load().predict` reads arrays: floats in [0, 1] are kept, all else is scaled by its range.
    """

    def load_context(self, context: Any) -> None:
        """Read the bundle."""
        self.predictor = hier.load(Path(context.artifacts["card"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """Answers in order; an image that cannot be used fails the whole request, and is named.

        The parameter ``tolerance`` is that of `hier.load`; 0, and none, leave it to the model. With ``errors`` set to
        ``rows``, an image that cannot be used is a row with nothing but its `error`, which is empty in the others.
        """
        tolerance = float((params or {}).get("tolerance") or 0) or None
        as_rows = (params or {}).get("errors") == "rows"
        try:
            predictor = hier.Predictor(self.predictor.classifier, tolerance=tolerance)
        except hier.HierError as error:
            raise MlflowException(str(error), INVALID_PARAMETER_VALUE) from error
        with tempfile.TemporaryDirectory() as folder:
            images = [image(cell, k, Path(folder)) for k, cell in enumerate(cells(model_input["image"]))]
            answers = []
            for k, answer in enumerate(predictor.predict_each(images, symmetry=True)):
                if isinstance(answer, hier.Failure) and not as_rows:
                    raise refused(k, answer.error)
                names = (*(f.name for f in fields(hier.Prediction)), "confidence", "advice", "error")
                nothing = dict.fromkeys(names) if as_rows else {}
                answers.append(nothing | answer.as_dict())
        return pd.DataFrame(answers).drop(columns=["file", "source"], errors="ignore")


def cells(column: pd.Series) -> Iterator[Any]:
    """The images of a column; the server packs a list of texts into one cell."""
    for cell in column:
        if isinstance(cell, list) and cell and isinstance(cell[0], str):
            yield from cell
        else:
            yield cell


def image(cell: Any, index: int, folder: Path) -> Any:
    """One image as `predict_each` takes it: a file in `folder`, or an array."""
    if isinstance(cell, str):
        try:
            text = "".join((cell.partition("base64,")[2] or cell).split())  # Spark's has lines
            content = base64.b64decode(text, validate=True)
        except ValueError as error:
            raise refused(index, f"invalid base64 ({error}): send the bytes of an image file in base64") from error
        file = folder / f"{index}{SUFFIXES.get(content[:4], '.png')}"
        file.write_bytes(content)
        return file
    try:
        return np.asarray(cell)
    except ValueError as error:
        raise refused(index, "rows of numbers differ in length") from error


def refused(index: int, why: str) -> Exception:
    """The error for the client, with status 400."""
    return MlflowException(f"image {index}: {why}", INVALID_PARAMETER_VALUE)


mlflow.models.set_model(ClassifierModel())
