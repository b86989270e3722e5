"""The model that MLflow keeps of a node: images to the probabilities of the node's choices.

MLflow copies this file beside the weights and runs it by itself ("models from code"): nothing is pickled, imports are
absolute, and from `hier` alone.
"""

from typing import Any

import mlflow
import numpy as np
from mlflow.pyfunc.model import PythonModel

import hier


class NodeModel(PythonModel):
    """float32 images (B, C, H, W) in [0, 1] to probabilities (B, k) in the order of the card's choices."""

    def load_context(self, context: Any) -> None:
        """Read the only node of the bundle."""
        self.probabilities = hier.load_node(context.artifacts["card"])

    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> np.ndarray:
        """Probabilities of a batch. MLflow reads the type hints, and only recognises the bare class."""
        return self.probabilities(model_input)


mlflow.models.set_model(NodeModel())
