"""All trainings of all nodes as one static page: `hier compare --html`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...hierarchy import Tree
from ...hierarchy.files import output
from ...hierarchy.names import on_screen
from ..marks import SOFTWARE
from .compare import COLUMNS, METRIC, Entry
from .errors import telling
from .runs import Store

TEMPLATE = "compared.html"
DRAWS, LEVEL = 2000, 0.95  # of the bootstrap, and of its intervals
OTHERS = ("cross_photos/accuracy", *(name for name in COLUMNS if name.startswith("cross_")))


@dataclass(frozen=True)
class Confusion:
    """Validation images (k, k) by true choice (rows) and answer."""

    counts: NDArray[np.int64]
    choices: tuple[str, ...]

    def interval(self, seed: int = 0) -> tuple[float, float]:
        """Where the accuracy lies in `LEVEL` of the draws of as many images, with replacement (Efron, 1979)."""
        n = int(self.counts.sum())
        right = np.random.default_rng(seed).binomial(n, np.trace(self.counts) / n, DRAWS) / n
        low, high = np.quantile(right, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
        return float(low), float(high)


def confusions(store: Store, entries: Mapping[str, Sequence[Entry]]) -> dict[str, Confusion]:
    """The confusion matrices of runs, by run; of those that have none, nothing. StoreError."""
    with telling(store.uri):
        client, found = store.connect().client, {}
        for entry in (e for of_node in entries.values() for e in of_node):
            if any(a.path == "confusion.json" for a in client.list_artifacts(entry.run)):
                with tempfile.TemporaryDirectory() as folder:
                    file = Path(client.download_artifacts(entry.run, "confusion.json", folder))
                    kept = json.loads(file.read_text(encoding="utf-8"))
                found[entry.run] = Confusion(np.asarray(kept["counts"], np.int64), tuple(kept["choices"]))
    return {run: matrix for run, matrix in found.items() if matrix.counts.sum()}


def write_comparison(
    path: Path, tree: Tree, entries: Mapping[str, Sequence[Entry]], matrices: Mapping[str, Confusion],
    metric: str = METRIC,
) -> None:  # fmt: skip
    """Write the page: nodes by trainings, then every node's runs with their confusion matrices. Raises HierError."""
    import jinja2

    trainings = _trainings(entries)
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    page = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True).get_template(TEMPLATE)
    text = page.render(
        software=SOFTWARE, version=version("hier"), tree=on_screen(tree.name), metric=metric, level=f"{LEVEL:.0%}",
        trainings=[_about(e) for e in trainings.values()],
        rows=[(node, [_cell(of_node, key, matrices) for key in trainings]) for node, of_node in entries.items()],
        nodes=[(node, _question(tree, node), [_run(e, matrices) for e in found]) for node, found in entries.items()],
        others=[name.removeprefix("cross_").removesuffix("/accuracy") for name in OTHERS],
    )  # fmt: skip
    with output(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def _trainings(entries: Mapping[str, Sequence[Entry]]) -> dict[str, Entry]:
    """One run of each training, the newest training first."""
    every = sorted((e for of_node in entries.values() for e in of_node), key=lambda e: e.begun)
    first: dict[str, Entry] = {}
    for entry in every:
        first.setdefault(entry.training or entry.run, entry)
    return dict(reversed(first.items()))


def _about(entry: Entry) -> dict[str, str]:
    kept = {name: on_screen(entry.params.get(name, "")) for name in ("seed", "backbone", "count", "source")}
    return kept | {"date": entry.begun[:16].replace("T", " "), "photographs": on_screen(entry.photographs)}


def _cell(of_node: Sequence[Entry], training: str, matrices: Mapping[str, Confusion]) -> dict[str, Any] | None:
    own = next((e for e in of_node if (e.training or e.run) == training), None)
    return None if own is None else _accuracy(own, matrices) | {"best": own is of_node[0], "aliases": own.aliases}


def _accuracy(entry: Entry, matrices: Mapping[str, Confusion]) -> dict[str, Any]:
    matrix, value = matrices.get(entry.run), entry.metrics.get(METRIC)
    low, high = matrix.interval() if matrix else (None, None)
    return {"value": _share(value), "low": _share(low), "high": _share(high)}


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"


def _run(entry: Entry, matrices: Mapping[str, Confusion]) -> dict[str, Any]:
    matrix = matrices.get(entry.run)
    return _about(entry) | _accuracy(entry, matrices) | {
        "version": entry.version, "aliases": entry.aliases, "status": entry.status.lower(),
        "others": [_share(entry.metrics.get(name)) for name in OTHERS],
        "loss": f"{entry.metrics['valid/loss']:.3f}" if "valid/loss" in entry.metrics else "",
        "images": f"{entry.metrics.get('images', 0):.0f}",
        "choices": [on_screen(name) for name in matrix.choices] if matrix else [],
        "matrix": _shaded(matrix) if matrix else [],
    }  # fmt: skip


def _shaded(matrix: Confusion) -> list[list[tuple[int, float]]]:
    """Counts with their share of the row."""
    total = np.maximum(matrix.counts.sum(1, keepdims=True), 1)
    shares = matrix.counts / total
    return [
        list(zip(map(int, row), map(float, of), strict=True)) for row, of in zip(matrix.counts, shares, strict=True)
    ]


def _question(tree: Tree, node: str) -> str:
    return on_screen(tree.question(node)) if node in tree.nodes else ""
