"""Files read by foreign code in a process of its own, which may crash, hang or ask for too much memory alone."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from multiprocessing.spawn import get_executable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import ImageError
from .picture import Picture, Reading
from .pixel_size import Oblong, PixelSize
from .worker import LENGTH, MEMORY, SECONDS, START

CODE = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from hier.pipelines.reading.worker import serve; serve()"
)
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")  # each thread would reserve memory


class Died(Exception):
    """The process ended before it answered: `late` if it was killed for that, `asked` if it was about a file."""

    def __init__(self, code: int | None, late: bool, asked: bool) -> None:
        super().__init__(code, late, asked)
        self.code, self.late, self.asked = code, late, asked


def read_apart(path: Path, inside: str, reading: Reading, largest: int | None) -> Picture:
    """The picture in `path`, as `foreign.read_foreign` has it, read by the process that this one keeps for it.

    Raises ImageError, also where that process crashes or takes more than `SECONDS` or `MEMORY`. What it read before
    may be why it died: a file that it did not begin with is tried again in a new one.
    """
    request = {"path": os.path.abspath(path), "inside": inside, "page": reading.page, "channel": reading.channel,
               "largest": largest}  # fmt: skip
    with _kept.lock:
        while True:
            fresh = _kept.worker is None
            try:
                return _kept.read(request, path.suffix.lower())
            except (Died, MemoryError) as error:
                if fresh or (isinstance(error, Died) and error.late):
                    raise _told(error) from error


def _told(error: Died | MemoryError) -> ImageError:
    if isinstance(error, MemoryError):
        return ImageError(f"needs more than {MEMORY >> 30} GB of memory to be read: crop or shrink it first")
    if not error.asked:
        return ImageError(
            f"cannot be read: the process that reads such files does not start (exit status {error.code})"
        )
    if error.late:
        return ImageError(f"cannot be read: it takes longer than {SECONDS:g} s, the file may be damaged")
    how = f"signal {-error.code}" if error.code and error.code < 0 else f"exit status {error.code}"
    return ImageError(f"cannot be read: the reader crashed ({how}), the file may be damaged")


class _Worker:
    """A running process, and the suffixes whose libraries it has imported."""

    def __init__(self) -> None:
        environment = os.environ | dict.fromkeys(THREADS, "1")
        alone: dict[str, Any] = (  # Ctrl-C in a terminal reaches this process, not that one
            {"creationflags": 0x200} if sys.platform == "win32" else {"process_group": 0}  # CREATE_NEW_PROCESS_GROUP
        )
        self.process = subprocess.Popen(
            [get_executable(), "-P", "-c", CODE, json.dumps(sys.path)], bufsize=0, env=environment, **alone,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.ready: set[str] = set()

    def ask(self, request: dict[str, Any], seconds: float) -> tuple[dict[str, Any], NDArray[Any] | None]:
        """What it answers, and the pixels that follow. Raises Died."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        packed = json.dumps(request).encode()
        with _killed_after(seconds, self.process) as late:
            try:
                _write(stdin, LENGTH.pack(len(packed)) + packed)
                answer = json.loads(_read(stdout, *LENGTH.unpack(_read(stdout, LENGTH.size))))
                if "dtype" not in answer or "offset" in answer:
                    return answer, None
                array = np.empty(answer["shape"], answer["dtype"])
                if array.nbytes:
                    _fill(stdout, array.reshape(-1).view(np.uint8).data)
                return answer, array
            except (EOFError, BrokenPipeError, ConnectionError) as error:
                self.process.kill()
                raise Died(self.process.wait(), late.is_set(), "path" in request) from error

    def stop(self) -> None:
        """Kill the process, wherever it is."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()

    def forget(self) -> None:
        """Close the ends of its pipes that a fork has copied: it belongs to the other process."""
        self.process.returncode = 0
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()


class _Kept:
    """The one process that reads for this one, started when the first file needs it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.worker: _Worker | None = None

    def read(self, request: dict[str, Any], suffix: str) -> Picture:
        """One picture. Raises ImageError, Died and MemoryError, after which there is no process."""
        worker = self.worker = self.worker or _Worker()
        try:
            if suffix not in worker.ready:
                worker.ask({"prepare": suffix}, START)
                worker.ready.add(suffix)
            answer, array = worker.ask(request, SECONDS)
            if answer.get("memory"):
                raise MemoryError
        except BaseException:  # an interruption leaves half an answer in the pipe
            self.stop()
            raise
        return _picture(answer, array, request["path"])

    def stop(self) -> None:
        """End the process; the next file starts another."""
        if self.worker is not None:
            self.worker.stop()
            self.worker = None

    def after_fork(self) -> None:
        """A forked process starts its own, and has no other thread that could hold the lock."""
        self.lock = threading.Lock()
        if self.worker is not None:
            self.worker.forget()
            self.worker = None


_kept = _Kept()
atexit.register(_kept.stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_kept.after_fork)


def _picture(answer: dict[str, Any], array: NDArray[Any] | None, path: str) -> Picture:
    if "error" in answer:
        raise ImageError(answer["error"])
    if array is None:
        array = np.memmap(path, answer["dtype"], "r", answer["offset"], tuple(answer["shape"]))
    size = answer["size"] and (PixelSize, Oblong)[len(answer["size"]) > 2](*answer["size"])
    return Picture(array, size, answer["negative"])


@contextlib.contextmanager
def _killed_after(seconds: float, process: subprocess.Popen[bytes]) -> Iterator[threading.Event]:
    """Kill `process` when it takes longer; the event says whether that was so."""
    late = threading.Event()

    def end() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()


def _write(stream: Any, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[stream.write(view) :]


def _read(stream: Any, count: int) -> bytes:
    data = bytearray(count)
    _fill(stream, memoryview(data))
    return bytes(data)


def _fill(stream: Any, view: memoryview) -> None:
    while view:
        count = stream.readinto(view)
        if not count:
            raise EOFError
        view = view[count:]
