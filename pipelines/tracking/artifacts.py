"""What MLflow keeps beside numbers: models with their names, and pictures of confusions."""

from __future__ import annotations

import base64
import io
import re
import tempfile
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

# hier itself is missing, as a distribution of that name on the index is another project
REQUIREMENTS = ("torch", "torchvision", "timm", "numpy", "networkx", "pydantic", "safetensors", "pillow", "mlflow")
NODE, TREE = "node_pyfunc.py", "classifier_pyfunc.py"  # the files with the models' classes, in `serving`
PREFIX = "hier-"  # of every registered model's name


def slug(name: str) -> str:
    """`name` as MLflow allows it in the name of a model: no ``/ : . %`` or quotes."""
    return re.sub(r"[^\w-]+", "-", name).strip("-") or "node"


def node_model(tree: str, node: str) -> str:
    """The registered model of a node: ``hier-<node>``, for trees other than `wallpaper` ``hier-<tree>-<node>``."""
    return PREFIX + ("" if tree == "wallpaper" else f"{slug(tree)}-") + slug(node)


def tree_model(tree: str) -> str:
    """The registered model of a whole tree: ``hier-tree``, for trees other than `wallpaper` ``hier-tree-<tree>``."""
    return f"{PREFIX}tree" + ("" if tree == "wallpaper" else f"-{slug(tree)}")


def log_bundle(client: Any, experiment: str, run_id: str, name: str, code: str, card: Path) -> str:
    """Log the bundle of `card` as a pyfunc model whose class is in `code` of the package `serving`; its id.

    All of it by `client`: `mlflow.pyfunc.log_model` writes to the store that the program has set for itself.
    """
    import mlflow
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus
    from mlflow.models import Model

    signature, shown = _node_interface() if code == NODE else _tree_interface()
    made = client.create_logged_model(experiment, name, source_run_id=run_id)
    with tempfile.TemporaryDirectory() as folder:
        mlflow.pyfunc.save_model(
            Path(folder) / "model",
            python_model=str(Path(__file__).parents[1] / "serving" / code),
            artifacts={"card": str(card), "weights": str(card.with_suffix(".safetensors"))},
            signature=signature,
            input_example=shown,
            pip_requirements=[f"{package}=={version(package).partition('+')[0]}" for package in REQUIREMENTS],
            metadata={"hier": version("hier")},
            mlflow_model=Model(artifact_path=made.artifact_location, run_id=run_id, model_id=made.model_id),
        )
        client.log_model_artifacts(made.model_id, str(Path(folder) / "model"))
    client.finalize_logged_model(made.model_id, LoggedModelStatus.READY)
    client.log_outputs(run_id, [LoggedModelOutput(made.model_id, step=0)])
    return str(made.model_id)


def _node_interface() -> tuple[Any, npt.NDArray[np.float32]]:
    """Tensors to tensors, and an example."""
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    float32 = np.dtype(np.float32)
    signature = ModelSignature(Schema([TensorSpec(float32, (-1, -1, -1, -1))]), Schema([TensorSpec(float32, (-1, -1))]))
    return signature, example()


def _tree_interface() -> tuple[Any, Any]:
    """A column of images to the columns of `hier predict --json`, and an example.

    An image is text (the file in base64) or numbers (nested lists): no type of MLflow's but `AnyType` has both.
    """
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import AnyType

    from ..answering.results import Prediction

    any_type: Any = AnyType
    plain = {"str": DataType.string, "float": DataType.double, "bool": DataType.boolean}
    outputs: list[Any] = [
        ColSpec(plain.get(str(f.type).removesuffix(" | None"), any_type()), f.name, required="None" not in str(f.type))
        for f in fields(Prediction)
        if f.name not in ("file", "source")
    ]
    outputs += [ColSpec(DataType.string, "confidence"), ColSpec(any_type(), "advice")]
    options = ParamSchema([
        ParamSpec("tolerance", DataType.double, 0.0), ParamSpec("errors", DataType.string, "raise"),
    ])  # fmt: skip
    signature = ModelSignature(Schema([ColSpec(any_type(), "image")]), Schema(outputs), options)
    return signature, pd.DataFrame({"image": [as_base64(example()[0, 0])]})


def as_base64(image: npt.NDArray[np.float32]) -> str:
    """An image (H, W) or (H, W, 3) in [0, 1] as a PNG file in base64."""
    file = io.BytesIO()
    Image.fromarray(np.round(255 * image).astype(np.uint8)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def example() -> npt.NDArray[np.float32]:
    """A p4m pattern, (1, 3, 64, 64), in eighths so that the example stays small as text."""
    wave = np.cos(2 * np.pi * np.arange(64) / 16)
    pattern = np.round(2 * (wave[:, None] + wave) + 4) / 8
    return np.broadcast_to(pattern, (1, 3, 64, 64)).astype(np.float32)
