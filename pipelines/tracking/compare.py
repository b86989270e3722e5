"""All trainings of a node side by side, best first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from ...hierarchy import Tree, UnknownNameError
from .errors import StoreError, shown, telling
from .registry import models_of, nodes_named, registered, reopen
from .runs import PHOTOGRAPHS, Store

METRIC, TIE = "valid/accuracy", "valid/loss"
LESS_IS_BETTER = ("loss", "seconds", "ece", "brier", "error")  # last parts of metrics' names
COLUMNS = {
    "valid/accuracy": "valid", "valid/loss": "loss", "cross_atoms/accuracy": "atoms",
    "cross_noise/accuracy": "noise", "cross_outlines/accuracy": "outlines", "images": "images", "seconds": "s",
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One run of a node: its figures, and the version of the registered model it made, None if it made none."""

    node: str
    version: int | None
    aliases: tuple[str, ...]
    metrics: dict[str, float]
    params: dict[str, str]
    status: str
    begun: str
    run: str
    training: str = ""  # the run that it is in
    photographs: str = ""  # their digest, `built-in`, or `none`

    def as_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return asdict(self)


def compare(store: Store, tree: Tree, given: Sequence[str], metric: str = METRIC) -> dict[str, list[Entry]]:
    """Runs by node of the tree (all nodes if none is given), best by `metric` first, without it last.

    Raises StoreError when there are none, UnknownNameError for a node or metric that does not exist.
    """
    nodes = nodes_named(tree, given or ["all"])
    sender, models = reopen(store), models_of(tree)
    entries: dict[str, list[Entry]] = {node: [] for node in nodes}
    with telling(store.uri):
        runs = [run for run in _runs(sender.client, sender.experiment) if _tree(run) == tree.name]
        for node in nodes:
            own = [run for run in runs if run.data.tags["hier.node"] == node]
            model = registered(sender.client, models[node]) if own else None
            entries[node] = [_entry(node, run, model) for run in own]
    found = [e for of_node in entries.values() for e in of_node]
    if not found:
        what = f"nodes {', '.join(nodes)}" if given else "any node"
        raise StoreError(f"no training of {what} of tree {tree.name!r} in {shown(store.uri)}: `hier train` makes one")
    known = {name for e in found for name in e.metrics}
    if metric not in known:
        raise UnknownNameError("metric", metric, sorted(known))
    return {node: ranked(of_node, metric) for node, of_node in entries.items() if of_node}


def ranked(entries: Iterable[Entry], metric: str) -> list[Entry]:
    """Best first: by `metric`, then by the validation loss, then the newest."""
    newest = sorted(entries, key=lambda e: e.begun, reverse=True)
    return sorted(newest, key=lambda e: (rank(e.metrics.get(metric), metric), rank(e.metrics.get(TIE), TIE)))


def rank(value: float | None, metric: str) -> float:
    """Where a value of `metric` stands among others, the least first; one that is missing or NaN comes last."""
    if value is None or value != value:
        return float("inf")
    return value if metric.replace("/", "_").rpartition("_")[2] in LESS_IS_BETTER else -value


def _runs(client: Any, experiment: str) -> Iterable[Any]:
    token = None
    while True:
        page = client.search_runs([experiment], "tags.`hier.node` != ''", page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _tree(run: Any) -> str:
    return str(run.data.tags.get("hier.tree") or run.data.params.get("tree", ""))


def _entry(node: str, run: Any, model: Any) -> Entry:
    version = max((n for n, v in model.versions.items() if v.run_id == run.info.run_id), default=None)
    begun = datetime.fromtimestamp(run.info.start_time / 1000, UTC)
    return Entry(
        node=node,
        version=version,
        aliases=tuple(sorted(alias for alias, n in model.aliases.items() if n == version)),
        metrics=dict(run.data.metrics),
        params=dict(run.data.params),
        status=run.info.status,
        begun=begun.isoformat(timespec="seconds"),
        run=run.info.run_id,
        training=run.data.tags.get("mlflow.parentRunId", ""),
        photographs=run.data.tags.get(PHOTOGRAPHS, ""),
    )
