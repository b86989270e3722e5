"""The model that MLflow keeps of a node: images to the probabilities of the node's choices.

MLflow copies this file beside the weights and runs it by itself ("models from code"): nothing is pickled, and
imports are absolute.
"""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import torch
from hier.models.bundle import load_bundle
from hier.models.representation import SymmetryEvidence
from mlflow.pyfunc.model import PythonModel


class NodeModel(PythonModel):
    """float32 images (B, C, H, W) in [0, 1] to probabilities (B, k) in the order of the card's choices."""

    def load_context(self, context: Any) -> None:
        """Read the only node of the bundle."""
        (self.node,) = load_bundle(Path(context.artifacts["card"])).nodes.values()
        self.represent = SymmetryEvidence()

    @torch.inference_mode()
    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> np.ndarray:
        """Probabilities of a batch. MLflow reads the hints, and knows the bare class alone."""
        evidence = self.represent(torch.as_tensor(np.asarray(model_input, dtype=np.float32)))
        return self.node.log_probabilities(evidence.maps, evidence.numbers).exp().numpy()


mlflow.models.set_model(NodeModel())
