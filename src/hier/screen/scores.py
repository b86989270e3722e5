"""Tables of a submission's score."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.table import Table

if TYPE_CHECKING:
    from ..pipelines.measuring.submission import Figure, Score

PLAIN = {"log_loss": "log loss, nats", "brier": "Brier score", "severity_1": "severity of mistakes",
         "severity_5": "severity of the first five"}  # fmt: skip


def score_tables(found: Score) -> list[Table]:
    """All figures, and the accuracy by source and part, with the source first in which it is worst."""
    table = _table(f"{found.images} images")
    for name, figure in found.figures.items():
        if name in PLAIN:
            table.add_row(PLAIN[name], *(f"{x:.3f}" for x in (figure.value, figure.low, figure.high)))
        else:
            table.add_row("accuracy" if name == "accuracy" else f"  down to {name}", *_percent(figure))
    table.add_row("calibration error", f"{found.calibration:.3f}", "", "")
    for name, value in found.hierarchical.items():
        table.add_row(f"hierarchical {name.upper() if name == 'f' else name}", f"{value:.3f}", "", "")
    parts = _table("accuracy, %")
    order = sorted(found.by["source"], key=lambda name: found.by["source"][name].value)
    for name in order:
        parts.add_row(name + ("  (worst)" if name == found.worst else ""), *_percent(found.by["source"][name]))
    for name, figure in found.by["part"].items():
        parts.add_row(f"  {name}", *_percent(figure))
    return [table, parts]


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE, show_edge=False)
    table.add_column("")
    for name in ("", "from", "to"):
        table.add_column(name, justify="right")
    return table


def _percent(figure: Figure) -> tuple[str, str, str]:
    return f"{100 * figure.value:.2f} %", f"{100 * figure.low:.2f}", f"{100 * figure.high:.2f}"
