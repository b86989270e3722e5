"""The benchmark's table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE
from rich.table import Table

from ..pipelines.benchmark.cells import HEAD, NOT_SHOWN, cells, full_rows, not_run
from ..pipelines.benchmark.rows import Row
from ..pipelines.benchmark.settings import Preset
from .console import named


def rich_table(rows: Sequence[Row], preset: Preset) -> Table:
    """The table on the screen: accuracies; losses are in the files."""
    table = Table(title=f"{preset.name}: accuracy in %", title_justify="left", box=SIMPLE, show_edge=False)
    shown = [k for k, title in enumerate(HEAD) if k not in NOT_SHOWN]
    for k in shown:
        width = {0: 18, 1: None}.get(k, 6)
        table.add_column(HEAD[k], justify="left" if k < 2 else "right", no_wrap=True, min_width=width)
    before = ""
    for row in full_rows(rows, preset):
        if row.route != before:
            table.add_row(named(row.route, "dim"))
            before = row.route
        table.add_row(*(cells(row)[k] for k in shown))
    missing = not_run(rows, preset)
    table.caption = f"not run: {', '.join(missing)}" if missing else None
    table.caption_justify = "left"
    return table
