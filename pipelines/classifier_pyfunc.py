"""The model that MLflow keeps of a whole tree: images to the probabilities of its labels.

Copied and run by MLflow as `node_pyfunc.py` is.
"""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import torch
from hier.models.classifier import Classifier
from mlflow.pyfunc.model import PythonModel


class ClassifierModel(PythonModel):
    """float32 images (B, C, H, W) in [0, 1] to probabilities (B, L) in the tree's order of labels."""

    def load_context(self, context: Any) -> None:
        """Read the bundle."""
        self.classifier = Classifier.load(Path(context.artifacts["card"]))

    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> np.ndarray:
        """Probabilities of a batch. MLflow reads the hints, and knows the bare class alone."""
        images = torch.as_tensor(np.asarray(model_input, dtype=np.float32))
        return self.classifier.answer(images).log_probabilities.exp().numpy()


mlflow.models.set_model(ClassifierModel())
