"""What `hier calibrate` shows: temperatures with what they mend, and every router on patterns not fitted to."""

from __future__ import annotations

from rich.table import Table

from .calibrate import Calibrated
from .console import percent


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
    routers = Table(title="routers, on patterns that nothing was fitted to", title_justify="left")
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
