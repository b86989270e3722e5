"""What is looked at before a training begins to write anything."""

from __future__ import annotations

from ..datasets import split_pool
from ..models.node import NodeClassifier, NodeSettings
from .settings import TrainSettings


def check(settings: TrainSettings) -> None:
    """Look at what a training would only find out once it has begun to write: its photographs and its backbone.

    Raises SourceError or BackboneError.
    """
    for split in ("train", "valid") if settings.photos else ():
        split_pool(settings.photos, split)
    NodeClassifier(NodeSettings(("no", "yes"), settings.backbone))
