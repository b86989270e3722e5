"""What is looked at before a training begins to write anything."""

from __future__ import annotations

from ..datasets import split_pool
from ..hierarchy import GROUP_NAMES, TreeError, load_tree
from ..models.node import NodeClassifier, NodeSettings
from .settings import TrainSettings


def check(settings: TrainSettings) -> None:
    """Look at what a training would only find out once it has begun to write: its photographs, tree and backbone.

    Raises SourceError, TreeError or BackboneError.
    """
    labels = set(load_tree(settings.tree).labels)
    if labels != set(GROUP_NAMES):
        foreign, missing = sorted(labels - set(GROUP_NAMES)), [name for name in GROUP_NAMES if name not in labels]
        lists = [f"{what} {', '.join(names)}" for what, names in (("has", foreign), ("lacks", missing)) if names]
        raise TreeError(
            f"tree {settings.tree} {' and '.join(lists)}: `hier train` makes patterns of the 17 wallpaper groups, and "
            "a tree must have them all and no others. With images of your own labels use hier.HierarchicalClassifier"
        )
    for split in ("train", "valid") if settings.photos else ():
        split_pool(settings.photos, split)
    NodeClassifier(NodeSettings(("no", "yes"), settings.backbone))
