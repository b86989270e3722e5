"""Which version of a node is its champion: the newest, the best by a metric, or one that is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...hierarchy import Tree
from .compare import METRIC, rank
from .errors import StoreError, shown, telling
from .registry import WHOLE, Registered, models_of, nodes_named, registered, reopen, training
from .runs import Store
from .sender import CANDIDATE, CHAMPION

TESTED = "test/accuracy"  # of an assembled tree: the mean over its test sets


@dataclass(frozen=True)
class Promoted:
    """An alias that was moved: `before` is the version that had it, or None.

    `metric` is what versions are judged by, `figure` this version's value; `better` a version with a better one, and
    `its_figure`; None where there is none.
    """

    node: str
    model: str
    version: int
    before: int | None
    metric: str
    figure: float | None
    better: int | None
    its_figure: float | None


def promote(
    store: Store, tree: Tree, given: Sequence[str], version: int | None = None, best: bool = False,
    metric: str | None = None,
) -> list[Promoted]:  # fmt: skip
    """Move the alias `champion` of nodes to their candidates, to their `best` versions, or to that version of one node.

    Versions are judged by `metric`: of nodes `compare.METRIC`, of the whole tree `TESTED`, if left out. ``all`` are the
    nodes that have a candidate. Raises StoreError for a node without the version, and then moves none;
    UnknownNameError for a node that the tree does not have.
    """
    nodes, models = nodes_named(tree, given, whole=True), models_of(tree)
    if version is not None and best:
        raise StoreError(f"--version {version} and --best name two versions: leave one of them out")
    if version is not None and len(nodes) != 1:
        raise StoreError(f"--version {version} needs exactly one node, not {len(nodes)}: promote them one by one")
    sender, moves = reopen(store), []
    with telling(store.uri):
        for node in nodes:
            model = registered(sender.client, models[node])
            if "all" in given and node not in given and CANDIDATE not in model.aliases:
                continue
            by = metric or (TESTED if node == WHOLE else METRIC)
            figures = figures_of(sender.client, model, by)
            moves.append(_move(tree, node, model, version, best, by, figures))
        if not moves:
            raise StoreError(
                f"no node of tree {tree.name!r} is in {shown(store.uri)} yet: run `hier train --level all`"
            )
        for move in moves:
            sender.client.set_registered_model_alias(move.model, CHAMPION, str(move.version))
    return moves


def figures_of(client: Any, model: Registered, metric: str) -> dict[int, float]:
    """The value of `metric` of each version, from the run that made it; versions without it are left out."""
    found = {n: dict(client.get_run(v.run_id).data.metrics) for n, v in model.versions.items() if v.run_id}
    return {n: value for n, metrics in found.items() if (value := tested(metrics).get(metric)) is not None}


def tested(metrics: Mapping[str, float]) -> dict[str, float]:
    """Metrics of a run, with `TESTED` where it is not among them but each test set's accuracy is."""
    sets = [v for name, v in metrics.items() if name.startswith("test_") and name.endswith("/accuracy")]
    return ({TESTED: sum(sets) / len(sets)} if sets else {}) | dict(metrics)


def best_of(figures: Mapping[int, float], metric: str) -> int | None:
    """The version with the best figure, of equals the newest; None if there is none."""
    return min(figures, key=lambda n: (rank(figures[n], metric), -n), default=None)


def _move(
    tree: Tree, node: str, model: Registered, version: int | None, best: bool, metric: str,
    figures: Mapping[int, float],
) -> Promoted:  # fmt: skip
    leader = best_of(figures, metric)
    chosen = leader if best and model.versions else _wanted(tree, node, model, version)
    if chosen is None:
        raise StoreError(f"no version of {model.name} has the metric {metric!r}: give another --metric, or --version")
    worse = leader is not None and rank(figures[leader], metric) < rank(figures.get(chosen), metric)
    better = leader if worse else None
    own, its = figures.get(chosen), figures[better] if better is not None else None
    return Promoted(node, model.name, chosen, model.aliases.get(CHAMPION), metric, own, better, its)


def _wanted(tree: Tree, node: str, model: Registered, version: int | None) -> int:
    if not model.versions:
        raise StoreError(f"node {node!r} is not trained yet, there is no {model.name}: run {training(tree, node)}")
    if version is None:
        if CANDIDATE not in model.aliases:
            raise StoreError(f"{model.name} has no candidate: give --version; there are {model}")
        return model.aliases[CANDIDATE]
    if version not in model.versions:
        raise StoreError(f"{model.name} has no version {version}; there are {model}")
    return version
