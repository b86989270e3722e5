"""Progress on standard error: bars with the time that is left on a terminal, lines elsewhere, nothing with ``-q``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from time import monotonic
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
from .streams import level, tell

if TYPE_CHECKING:
    from ..pipelines.training.fit import Reporter
    from ..pipelines.training.loop import Metrics

EVERY = 60.0  # s between two lines on a stage


def _spinner(console: Console) -> SpinnerColumn:
    return SpinnerColumn("line" if console.options.ascii_only else "dots")


def _bars(console: Console) -> Progress:
    return Progress(
        _spinner(console), TextColumn("{task.description}", markup=False), BarColumn(12), MofNCompleteColumn(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True), TextColumn("{task.fields[note]}", markup=False),
        console=console,
    )  # fmt: skip


def _in_bars(console: Console) -> bool:
    """Whether there is a terminal to draw on, and neither ``-v`` nor ``-q`` asks for something else."""
    return console.is_terminal and level() == logging.WARNING


def _say(line: str) -> None:
    if level() <= logging.WARNING:
        tell(f"{datetime.now():%H:%M:%S}  {line}", err=True)


def _stage_in_lines(name: str, total: int) -> Callable[[int], None]:
    """Tells that a stage begins, how far it is once in `EVERY` seconds, and that it ends."""
    begun = told = monotonic()
    done = 0
    _say(f"{name}: 0 of {total}")

    def advance(n: int) -> None:
        nonlocal told, done
        done, now = done + n, monotonic()
        if done >= total > done - n:
            _say(f"{name}: {total} of {total}, {in_time(now - begun)}")
        elif now - told >= EVERY:
            told = now
            _say(f"{name}: {done} of {total}, {in_time((now - begun) / done * (total - done))} left")

    return advance


def in_time(seconds: float) -> str:
    """Seconds as a text: ``9 s``, ``12 min``, ``3.5 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


@contextmanager
def progress(console: Console, name: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar with time left, or lines; yields what advances it."""
    if not _in_bars(console):
        yield _stage_in_lines(name, total)
        return
    with _bars(console) as bars:
        task = bars.add_task(name, total=total, note="")
        yield lambda n: bars.advance(task, n)


def _fitted(metrics: Metrics) -> str:
    return f"loss {metrics['train/loss']:.3f}, valid {percent(metrics['valid/accuracy'])}"


def _benchmarked(metrics: Metrics) -> str:
    return f"loss {metrics['train/running_loss']:.3f}, {100 * metrics['train/running_accuracy']:.0f} % correct"


@contextmanager
def training_progress(console: Console) -> Iterator[Reporter]:
    """The stages of a training, and loss and accuracy of each epoch."""
    with _reporting(console, _fitted, False) as reporter:
        yield reporter


@contextmanager
def benchmark_progress(console: Console) -> Iterator[Reporter]:
    """The images that are made, and the network that is trained."""
    with _reporting(console, _benchmarked, True) as reporter:
        yield reporter


@contextmanager
def _reporting(console: Console, noted: Callable[[Metrics], str], one: bool) -> Iterator[Reporter]:
    """In bars or in lines; `noted` tells an epoch's figures, and with `one` only the current network has a bar."""
    from ..pipelines.training.fit import Reporter

    if not _in_bars(console):
        yield Reporter(
            _stage_in_lines,
            lambda node, k, epochs, metrics: _say(f"fit {node}: epoch {k + 1} of {epochs}, {noted(metrics)}"),
        )
        return
    with _bars(console) as bars:
        tasks: dict[str, Any] = {}

        def stage(name: str, total: int) -> Callable[[int], None]:
            task = bars.add_task(name, total=total, note="")
            return lambda n: bars.advance(task, n)

        def epoch(node: str, index: int, epochs: int, metrics: Metrics) -> None:
            if node not in tasks:
                for old in list(tasks) if one else ():
                    bars.remove_task(tasks.pop(old))
                tasks[node] = bars.add_task(f"fit {node}", total=epochs, note="")
            bars.update(tasks[node], completed=index + 1, note=noted(metrics))

        yield Reporter(stage, epoch)


@contextmanager
def counter(console: Console, name: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Yields what advances the count; without a total the bar only shows activity."""
    count = TextColumn("{task.completed}" if total is None else "{task.completed}/{task.total}")
    with Progress(
        _spinner(console), TextColumn("{task.description}", markup=False), BarColumn(12), count,
        TimeElapsedColumn() if total is None else TimeRemainingColumn(compact=True),
        console=console, disable=not _in_bars(console), transient=True,
    ) as bar:  # fmt: skip
        task = bar.add_task(name, total=total)
        yield lambda n: bar.advance(task, n)
