"""Work shared among processes, with results in the order of the jobs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

from ..stopping import begin_worker, held

Job = TypeVar("Job")
Result = TypeVar("Result")


def in_order(
    work: Callable[[Job], Result], jobs: Iterable[Job], workers: int, ahead: int = 2
) -> Generator[Result, None, None]:
    """`work(job)` for each of `jobs`, in their order; with one worker or none, in this process.

    `work` is a function of a module; jobs and results travel pickled (arrays rather than tensors: those would need
    shared memory). At most `ahead` jobs per worker are taken beyond the result that is waited for, so `jobs` may be
    endless. Closing the iterator, or an exception, kills workers that have not finished: `work` must leave nothing
    half done. Raises what `work` raises, and BrokenProcessPool when a worker was killed.

    >>> list(in_order(abs, [-2, 1, -3], workers=1))
    [2, 1, 3]
    """
    if workers <= 1:
        yield from map(work, jobs)
        return
    executor = ProcessPoolExecutor(workers, get_context("spawn"), begin_worker)
    waiting: deque[Future[Result]] = deque()
    done = False
    try:
        for job in jobs:
            with held():  # the first job starts the workers: one half started would be nobody's child
                waiting.append(executor.submit(work, job))
            if len(waiting) > ahead * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
        done = True
    finally:
        if not done:
            _kill(executor)
        executor.shutdown(cancel_futures=True)


def _kill(executor: ProcessPoolExecutor) -> None:
    """End all workers at once, in the middle of their jobs."""
    for process in list((executor._processes or {}).values()):  # Python 3.14 has a method for it
        process.kill()
