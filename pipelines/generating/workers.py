"""Work shared among processes, with results in the order of the jobs."""

from __future__ import annotations

import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TypeVar

import torch

Job = TypeVar("Job")
Result = TypeVar("Result")


def in_order(
    work: Callable[[Job], Result], jobs: Iterable[Job], workers: int, ahead: int = 2
) -> Generator[Result, None, None]:
    """`work(job)` for each of `jobs`, in their order; with one worker or none, in this process.

    `work` is a function of a module; jobs and results travel pickled (arrays rather than tensors: those would need
    shared memory). At most `ahead` jobs per worker are taken beyond the result that is waited for, so `jobs` may be
    endless. Closing the iterator cancels the jobs that no worker has begun. Raises what `work` raises, and
    BrokenProcessPool when a worker was killed.

    >>> list(in_order(abs, [-2, 1, -3], workers=1))
    [2, 1, 3]
    """
    if workers <= 1:
        yield from map(work, jobs)
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), _begin) as executor:
        waiting: deque[Future[Result]] = deque()
        try:
            for job in jobs:
                with _interruption_ignored():  # the first job starts the workers, which inherit this
                    waiting.append(executor.submit(work, job))
                if len(waiting) > ahead * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            executor.shutdown(wait=False, cancel_futures=True)


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


@contextmanager
def _interruption_ignored() -> Iterator[None]:
    """A terminal sends Ctrl-C to all processes, also to those that are still importing: the parent alone answers it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
