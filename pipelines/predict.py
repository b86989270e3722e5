"""`load` at its old path, for models that were logged in MLflow before the package was split."""

from .loading import load

__all__ = ["load"]
