"""What MLflow keeps beside numbers: models, and pictures of confusions."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REQUIREMENTS = ("hier", "torch", "timm", "numpy", "mlflow")


def slug(name: str) -> str:
    """`name` as MLflow allows it in the name of a model: no ``/ : . %`` or quotes."""
    return re.sub(r"[^\w-]+", "-", name).strip("-") or "node"


def log_bundle(run_id: str, name: str, code: str, card: Path) -> str:
    """Log the bundle of `card` as a pyfunc model whose class is in the file `code` beside this one; its id."""
    import mlflow
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    float32 = np.dtype(np.float32)
    info = Model.log(
        artifact_path=None,
        name=name,
        flavor=mlflow.pyfunc,
        run_id=run_id,
        python_model=str(Path(__file__).with_name(code)),
        artifacts={"card": str(card), "weights": str(card.with_suffix(".safetensors"))},
        signature=ModelSignature(
            Schema([TensorSpec(float32, (-1, -1, -1, -1))]),
            Schema([TensorSpec(float32, (-1, -1))]),
        ),
        input_example=example(),
        pip_requirements=[f"{package}=={version(package)}" for package in REQUIREMENTS],
    )
    return str(info.model_id)


def example() -> npt.NDArray[np.float32]:
    """A p4m pattern, (1, 3, 64, 64), in eighths so that the example stays small as text."""
    wave = np.cos(2 * np.pi * np.arange(64) / 16)
    pattern = np.round(2 * (wave[:, None] + wave) + 4) / 8
    return np.broadcast_to(pattern, (1, 3, 64, 64)).astype(np.float32)


def confusion_figure(counts: list[list[int]], choices: list[str]) -> Figure:
    """Counts in cells, shaded by the share of the row: truth downwards, answers across."""
    from matplotlib.figure import Figure

    table = np.asarray(counts)
    shares = table / np.maximum(table.sum(1, keepdims=True), 1)
    side = 1.6 + 0.8 * len(choices)
    figure = Figure(figsize=(side + 1.2, side), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(choices)), choices, rotation=30, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(choices)), choices)
    axes.set(xlabel="taken for", ylabel="is")
    for (i, j), count in np.ndenumerate(table):
        axes.text(j, i, str(count), ha="center", va="center", color="white" if shares[i, j] > 0.5 else "black")
    return figure
