"""`SymmetryEvidence` at its old path, for models that were logged in MLflow before the package was split."""

from .evidence.representation import SymmetryEvidence

__all__ = ["SymmetryEvidence"]
