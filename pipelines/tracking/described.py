"""What MLflow's page says of registered models and their versions, in words and as tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SHOWN = ("valid/", "cross_", "test")  # how the names of figures begin that tell how good a model is
EXACT = ("count", "seed", "backbone", "epochs", "tune_epochs", "source")  # settings that tell versions apart


def about_model(tags: Mapping[str, str]) -> str:
    """The description of a registered model, by the tags of the run that made its first version."""
    tree = tags.get("hier.tree", "wallpaper")
    if "hier.node" not in tags:
        what = f"Classifiers of the whole tree {tree}: `hier predict IMAGE --model models:/...@champion` uses one."
    else:
        what = f"Node {tags['hier.node']} (level {tags.get('hier.level', '')}) of the tree {tree}."
    return (
        f"{what} The newest version has the alias `candidate`, the one in use `champion`: "
        "`hier promote` moves it, and so does this page."
    )


def about_version(run: Any) -> str:
    """The description of a version, by the run that made it: its name, and accuracies in %."""
    accuracies = {
        name.removesuffix("/accuracy").removeprefix("cross_").removeprefix("test_"): f"{100 * value:.2f} %"
        for name, value in sorted(run.data.metrics.items(), reverse=True)
        if name.startswith(SHOWN) and name.endswith("/accuracy")
    }
    told = ", ".join(f"{name} {value}" for name, value in accuracies.items())
    return f"{run.info.run_name}: {told}" if told else str(run.info.run_name)


def figures_of(run: Any) -> dict[str, str]:
    """Tags of a version: the figures and settings of the run that made it."""
    figures = {name: f"{value:.6g}" for name, value in run.data.metrics.items() if name.startswith(SHOWN)}
    return figures | {name: run.data.params[name] for name in EXACT if name in run.data.params}
