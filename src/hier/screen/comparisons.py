"""Tables that compare: routers, trainings of a node, systems of a benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.table import Table

from ..pipelines.answering.words import percent
from ..pipelines.tracking.compare import COLUMNS, METRIC

if TYPE_CHECKING:
    from ..pipelines.tracking.compare import Entry
    from ..pipelines.training.calibrate import Calibrated


def calibration_tables(made: Calibrated) -> list[Table]:
    """A table of nodes and one of routers."""
    nodes = Table(title="temperatures", title_justify="left")
    nodes.add_column("node")
    for title in ("temperature", "calibration error", "after"):
        nodes.add_column(title, justify="right")
    temperatures = {"group": made.bundle.card.routing.temperature} | made.temperatures
    for name, value in temperatures.items():
        before, after = made.curves[name]
        shown = "after routing" if name == "group" else name
        nodes.add_row(shown, f"{value:.3f}", f"{before.error:.4f}", f"{after.error:.4f}")
    routers = Table(title="routers, on held-out patterns", title_justify="left")
    routers.add_column("router")
    for title in ("accuracy", "log loss", "calibration error", "Brier"):
        routers.add_column(title, justify="right")
    for name, f in made.figures.items():
        shown = {"before": "soft, before", "after": "soft"}.get(name, name)
        routers.add_row(shown, percent(f["accuracy"]), f"{f['loss']:.5f}", f"{f['ece']:.5f}", f"{f['brier']:.5f}")
    routing = made.bundle.card.routing
    if routing.weight is not None:
        routers.caption = f"blend: {routing.how} mean, weight of the flat head {routing.weight:.3f}"
    return [nodes, routers]


def comparison_table(entries: Mapping[str, Sequence[Entry]], metric: str = METRIC) -> Table:
    """One row for each run, nodes apart, narrow enough for 80 columns; the figure that decides is bold."""
    columns = COLUMNS if metric in COLUMNS else {metric: metric.replace("/", "/\n"), **COLUMNS}
    table = Table(
        title=f"best first by {metric}; accuracies in %", title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0)
    )
    table.add_column("node", no_wrap=True)
    table.add_column("v", no_wrap=True, justify="right")
    for name, title in columns.items():
        table.add_column(title, justify="right", style="bold" if name == metric else "", no_wrap=True)
    table.add_column("alias", min_width=len("candidate"))
    for node, of_node in entries.items():
        for k, e in enumerate(of_node):
            cells = [cell(name, e.metrics) for name in columns]
            table.add_row("" if k else node, str(e.version or "-"), *cells, " ".join(e.aliases) or _unfinished(e))
        if len(entries) < len([e for es in entries.values() for e in es]):
            table.add_section()
    return table


def _unfinished(entry: Entry) -> str:
    return "" if entry.status == "FINISHED" else entry.status.lower()


def cell(name: str, metrics: Mapping[str, float]) -> str:
    """A figure as a table shows it: shares in %."""
    if name not in metrics:
        return ""
    value = metrics[name]
    if name.endswith(("accuracy", "refused")):
        return f"{100 * value:.2f}"
    return f"{value:.0f}" if name in ("images", "seconds") else f"{value:.4f}"


def told(name: str, value: float) -> str:
    """A figure in a sentence, with its name and unit."""
    unit = " %" if name.endswith(("accuracy", "refused")) else " s" if name == "seconds" else ""
    return f"{name} {cell(name, {name: value})}{unit}"


def figures_table(figures: Mapping[str, float]) -> Table:
    """Figures named ``SET/FIGURE``, a row for each set."""
    columns = list(dict.fromkeys(name.partition("/")[2] for name in figures))
    table = Table(box=SIMPLE)
    table.add_column("")
    for title in columns:
        table.add_column(f"{title}, %" if title in ("accuracy", "refused") else title, justify="right")
    for row in dict.fromkeys(name.partition("/")[0] for name in figures):
        table.add_row(row.removeprefix("test_"), *(cell(f"{row}/{c}", figures) for c in columns))
    return table
