from .hierarchy import HierError
from .pipelines.answering.predict import Predictor
from .pipelines.answering.results import Failure, Prediction
from .pipelines.loading import load, load_node
from .pipelines.measuring.scores import hierarchical_scores
from .pipelines.training.estimator import HierarchicalClassifier

__version__: str
__all__ = [
    "Failure",
    "HierError",
    "HierarchicalClassifier",
    "Prediction",
    "Predictor",
    "__version__",
    "hierarchical_scores",
    "load",
    "load_node",
]
