"""How right labels are down a tree, for labels as `HierarchicalClassifier` gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...hierarchy import Tree, compile_tree, load_tree
from . import metrics


def hierarchical_scores(
    y_true: Sequence[Any], y_pred: Sequence[Any], tree: Tree | str = "wallpaper"
) -> dict[str, float | dict[str, float]]:
    """Accuracy, hierarchical precision, recall and F (see `metrics.hierarchical`), and accuracy down to each level.

    `tree` is a `Tree` (that of a fitted estimator is ``tree_``), a built-in tree's name or a YAML file. ValueError for
    lists of other lengths, none, or a label that the tree lacks.

    >>> found = hierarchical_scores(["p4m", "p3"], ["p4g", "p3"])
    >>> found["accuracy"], round(found["f"], 2), found["levels"]["rotation"]
    (0.5, 0.8, 1.0)
    """
    known = load_tree(tree) if isinstance(tree, str) else tree
    plan, labels = compile_tree(known), [[str(label) for label in given] for given in (y_true, y_pred)]
    if len(labels[0]) != len(labels[1]) or not labels[0]:
        raise ValueError(f"{len(labels[0])} true and {len(labels[1])} predicted labels: as many of each, at least one")
    if foreign := sorted({label for given in labels for label in given} - set(plan.labels)):
        raise ValueError(f"tree {known.name!r} has no label {', '.join(foreign)}; it has {', '.join(plan.labels)}")
    truth, answer = (np.array([plan.labels.index(label) for label in given]) for given in labels)
    levels = {name: found.accuracy for name, found in metrics.by_level(plan, truth, answer).items()}
    accuracy = metrics.share(truth, answer).accuracy
    return {"accuracy": accuracy, **metrics.hierarchical(plan, truth, answer), "levels": levels}
