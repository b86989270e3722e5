"""`Failure` at its old path, for models that were logged in MLflow before the package was split."""

from .answering.results import Failure

__all__ = ["Failure"]
