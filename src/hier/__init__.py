"""Wallpaper groups of periodic images, step by step down the crystallographer's tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .pipelines.estimator import HierarchicalClassifier
    from .pipelines.predict import Predictor, load
    from .pipelines.results import Prediction

__version__ = "0.1.0"
__all__ = ["HierarchicalClassifier", "Prediction", "Predictor", "__version__", "load"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # later: the command line's help should not wait for torch
    if name == "HierarchicalClassifier":
        from .pipelines.estimator import HierarchicalClassifier

        return HierarchicalClassifier
    from .pipelines import predict

    return getattr(predict, name)
