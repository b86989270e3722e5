"""A progress bar for whoever watches: nothing is written where standard error is no terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@contextmanager
def counter(console: Console, name: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Yields what counts on; without a total the bar only shows that something goes on."""
    count = TextColumn("{task.completed}" if total is None else "{task.completed}/{task.total}")
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(12), count,
        TimeElapsedColumn() if total is None else TimeRemainingColumn(compact=True),
        console=console, disable=not console.is_terminal, transient=True,
    ) as bar:  # fmt: skip
        task = bar.add_task(name, total=total)
        yield lambda n: bar.advance(task, n)
