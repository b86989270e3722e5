"""How a command ends before it is done: SIGTERM and SIGHUP unwind it as Ctrl-C does, and no child outlives it.

Whatever stops a command is a KeyboardInterrupt in its main thread, so that files are closed, unfinished ones removed,
and children ended. What nobody can catch, SIGKILL, its children notice themselves: see `die_with_parent`.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import parent_process
from types import FrameType
from typing import Any

TERMINAL = tuple(getattr(signal, name) for name in ("SIGINT", "SIGHUP") if hasattr(signal, name))
STOPS = (*TERMINAL, signal.SIGTERM)  # a terminal sends the others to all processes in it
AGAIN = 0.01  # s until a stop that was ignored comes again
LOOK = 0.5  # s between looks at whether the parent lives


class Stopped(KeyboardInterrupt):
    """A stop that came by another way than Ctrl-C."""


@dataclass
class Stop:
    """What stopped a command; no `number` where nothing did."""

    number: int | None = None
    terminals: tuple[int, ...] = field(default=())

    @property
    def code(self) -> int | None:
        """The exit code of a command that was stopped, as shells have it: 130 for SIGINT, 143 for SIGTERM."""
        return None if self.number is None else 128 + self.number

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """The handler. While the command cleans up, only Ctrl-C interrupts it again."""
        if self.number is not None and number != signal.SIGINT:
            return
        self.number = number
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        self._leave_terminals()
        raise Stopped

    def ignored(self, what: sys.UnraisableHookArgs) -> bool:
        """Whether Python ignored a stop because it came in a callback, of a weak reference say: then it comes again."""
        if not isinstance(what.exc_value, KeyboardInterrupt) or self.number is None:
            return False
        number, self.number = self.number, None
        later = threading.Timer(AGAIN, _interrupt, [number])
        later.daemon = True
        later.start()
        return True

    def _leave_terminals(self) -> None:
        """A terminal that is gone fails at the next word, which would hide why the command ends."""
        for number in self.terminals:
            if not os.isatty(number):  # it was one
                nowhere = os.open(os.devnull, os.O_RDWR)
                os.dup2(nowhere, number)
                os.close(nowhere)


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Until the block ends, SIGTERM and SIGHUP interrupt the main thread as Ctrl-C does; yields what stopped it.

    A signal that is ignored, as by nohup, stays so.
    """
    streams = [s for s in (sys.__stdin__, sys.__stdout__, sys.__stderr__) if s is not None and not s.closed]
    stop = Stop(terminals=tuple(s.fileno() for s in streams if s.isatty()))
    usual = sys.unraisablehook
    sys.unraisablehook = lambda what: None if stop.ignored(what) else usual(what)
    try:
        with _handled(stop, [number for number in STOPS if signal.getsignal(number) != signal.SIG_IGN]):
            yield stop
    finally:
        sys.unraisablehook = usual


def _interrupt(number: int) -> None:
    """Send a signal to the main thread, which may be waiting."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:
        signal.raise_signal(number)


@contextmanager
def held() -> Iterator[None]:
    """What would stop the command waits until the block ends; children started in it leave Ctrl-C to their parent."""
    came: list[int] = []

    def keep(number: int, frame: FrameType | None) -> None:
        came.append(number)

    with _handled(keep, [number for number in STOPS if signal.getsignal(number) not in (signal.SIG_IGN, None)]):
        before = signal.pthread_sigmask(signal.SIG_BLOCK, TERMINAL) if hasattr(signal, "pthread_sigmask") else None
        try:
            yield
        finally:
            if before is not None:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if came:
        signal.raise_signal(came[0])


@contextmanager
def _handled(handler: Any, numbers: list[int]) -> Iterator[None]:
    """`handler` for these signals; nothing changes outside the main thread, which alone gets them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def begin_worker() -> None:
    """To be called first in a worker process: its parent alone answers a terminal, and it dies with the parent.

    It has one thread for torch, which is imported only then: that takes long enough for the parent to die meanwhile.
    """
    for number in TERMINAL:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, TERMINAL)
    die_with_parent()
    import torch

    torch.set_num_threads(1)


def die_with_parent() -> None:
    """End this process, which `multiprocessing` started, when its parent has ended, however that came about."""
    parent = parent_process()
    if parent is not None:

        def watch() -> None:
            while parent.is_alive() and (os.name != "posix" or os.getppid() == parent.pid):
                parent.join(LOOK)
            os._exit(1)

        threading.Thread(target=watch, name="die with parent", daemon=True).start()


def die_with_input() -> None:
    """Kill this process, and with it the group that it leads, when its standard input ends.

    That is a pipe which its parent holds open: the system closes it with the parent, however that ended.
    """

    def watch() -> None:
        while os.read(0, 1024):
            pass
        if os.name == "posix" and os.getpgrp() == os.getpid():
            os.killpg(os.getpid(), signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=watch, name="die with input", daemon=True).start()
