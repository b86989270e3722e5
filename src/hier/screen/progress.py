"""Bars with the time that is left, on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ..pipelines.answering.words import percent

if TYPE_CHECKING:
    from ..pipelines.training.fit import Reporter
    from ..pipelines.training.loop import Metrics


def _spinner(console: Console) -> SpinnerColumn:
    return SpinnerColumn("line" if console.options.ascii_only else "dots")


def _bars(console: Console) -> Progress:
    return Progress(
        _spinner(console), TextColumn("{task.description}", markup=False), BarColumn(12), MofNCompleteColumn(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True), TextColumn("{task.fields[note]}", markup=False),
        console=console,
    )  # fmt: skip


@contextmanager
def progress(console: Console, name: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar with time left; yields what advances it."""
    with _bars(console) as bars:
        task = bars.add_task(name, total=total, note="")
        yield lambda n: bars.advance(task, n)


@contextmanager
def training_progress(console: Console) -> Iterator[Reporter]:
    """Bars for the stages of a training, with loss and accuracy of the last epoch."""
    with _bars(console) as bars:
        tasks = {}

        def stage(name: str, total: int) -> Callable[[int], None]:
            task = bars.add_task(name, total=total, note="")
            return lambda n: bars.advance(task, n)

        def epoch(node: str, index: int, epochs: int, metrics: Metrics) -> None:
            if node not in tasks:
                tasks[node] = bars.add_task(f"fit {node}", total=epochs, note="")
            note = f"loss {metrics['train/loss']:.3f}, valid {percent(metrics['valid/accuracy'])}"
            bars.update(tasks[node], completed=index + 1, note=note)

        from ..pipelines.training.fit import Reporter

        yield Reporter(stage, epoch)


@contextmanager
def benchmark_progress(console: Console) -> Iterator[Reporter]:
    """Bars for the images that are made, and for the network that is trained."""
    with _bars(console) as bars:
        tasks: dict[str, Any] = {}

        def stage(name: str, total: int) -> Callable[[int], None]:
            task = bars.add_task(name, total=total, note="")
            return lambda n: bars.advance(task, n)

        def epoch(name: str, index: int, epochs: int, metrics: Metrics) -> None:
            if name not in tasks:
                for old, other in list(tasks.items()):  # one line for the current network
                    bars.remove_task(other)
                    del tasks[old]
                tasks[name] = bars.add_task(f"fit {name}", total=epochs, note="")
            note = f"loss {metrics['train/running_loss']:.3f}, {100 * metrics['train/running_accuracy']:.0f} % correct"
            bars.update(tasks[name], completed=index + 1, note=note)

        from ..pipelines.training.fit import Reporter

        yield Reporter(stage, epoch)


@contextmanager
def counter(console: Console, name: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Yields what advances the count; without a total the bar only shows activity."""
    count = TextColumn("{task.completed}" if total is None else "{task.completed}/{task.total}")
    with Progress(
        _spinner(console), TextColumn("{task.description}", markup=False), BarColumn(12), count,
        TimeElapsedColumn() if total is None else TimeRemainingColumn(compact=True),
        console=console, disable=not console.is_terminal, transient=True,
    ) as bar:  # fmt: skip
        task = bar.add_task(name, total=total)
        yield lambda n: bar.advance(task, n)
