"""`Failure` where models look for it that were logged in MLflow before the packages had rooms."""

from .answering.results import Failure

__all__ = ["Failure"]
