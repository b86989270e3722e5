"""`SymmetryEvidence` where models look for it that were logged in MLflow before the packages had rooms."""

from .evidence.representation import SymmetryEvidence

__all__ = ["SymmetryEvidence"]
