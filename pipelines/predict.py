"""`load` where models look for it that were logged in MLflow before the packages had rooms."""

from .loading import load

__all__ = ["load"]
