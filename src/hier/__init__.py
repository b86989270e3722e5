"""Wallpaper groups of periodic images, step by step down the crystallographer's tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .pipelines.predict import Prediction, Predictor, load

__version__ = "0.1.0"
__all__ = ["Prediction", "Predictor", "__version__", "load"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .pipelines import predict  # later: the command line's help should not wait for torch

    return getattr(predict, name)
