"""The process in which files are read by foreign code: it answers one request after the other on its standard streams.

It imports no torch, so that it starts in a fraction of a second. Requests and answers are JSON after their length, and
pixels follow as they lie in memory: nothing is unpickled.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import select
import struct
import sys
from collections.abc import Iterator
from dataclasses import astuple
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .errors import ImageError, readable
from .foreign import prepare, read_foreign
from .picture import Picture, Reading, check_numbers

SECONDS = 10.0  # that a file may take
MEMORY = 2 * 2**30  # bytes of addresses, of which libraries take up to 0.6e9
LENGTH = struct.Struct("<I")  # before each message
START = 60.0  # seconds for a process to start and to import its libraries, which a cold disk may take
SPARE = 5.0  # seconds after which the process ends by itself, if nobody has ended it


def serve() -> None:
    """Answer requests until there are no more, or until the process that asks is gone."""
    requests, answers = _streams()
    _limit()
    while (length := requests.read(LENGTH.size)) and len(length) == LENGTH.size:
        request = json.loads(requests.read(*LENGTH.unpack(length)))
        with _ending_with_the_asker(requests.fileno(), START if "prepare" in request else SECONDS):
            answer, pixels = _answer(request)
        packed = json.dumps(answer).encode()
        answers.write(LENGTH.pack(len(packed)) + packed)
        if pixels is not None and pixels.nbytes:
            answers.write(pixels.reshape(-1).view(np.uint8).data)
        answers.flush()
        del pixels  # or they stay in memory while the next file is read


def _answer(request: dict[str, Any]) -> tuple[dict[str, Any], np.ndarray[Any, Any] | None]:
    """What goes back, and the pixels that follow it."""
    try:
        if "prepare" in request:
            readable(lambda: prepare(request["prepare"]))
            return {}, None
        picture = readable(lambda: _read(request))
    except ImageError as error:
        return {"error": str(error), "memory": isinstance(error.__cause__, MemoryError)}, None
    array, size = picture.array, picture.pixel_size
    told = {"dtype": array.dtype.str, "shape": array.shape, "negative": picture.negative,
            "size": astuple(size) if size else None}  # fmt: skip
    if isinstance(array, np.memmap):  # the other process can map the file as well
        return {**told, "offset": array.offset}, None
    return told, array


def _read(request: dict[str, Any]) -> Picture:
    reading = Reading(request["page"], channel=request["channel"])
    found = read_foreign(Path(request["path"]), request["inside"], reading, request["largest"])
    check_numbers(found.array)
    if isinstance(found.array, np.memmap):
        return found
    return Picture(np.ascontiguousarray(found.array), found.pixel_size, found.negative)


def _streams() -> tuple[BinaryIO, BinaryIO]:
    """The streams of this process for ourselves; what libraries print goes nowhere."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    return requests, answers


def _limit() -> None:
    """Less memory than the system would give, where it can be limited, and no dump of it when the process dies."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for what, limit in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(ValueError, OSError):  # a lower limit holds already
            resource.setrlimit(what, (limit, limit))


@contextlib.contextmanager
def _ending_with_the_asker(stream: int, seconds: float) -> Iterator[None]:
    """While this lasts, the end of the asking process ends this one, though it be busy in a library that never returns.

    Linux sends a signal as soon as the other end of the pipe is closed; elsewhere time runs out.
    """
    faulthandler.dump_traceback_later(seconds + SPARE, exit=True, file=2)
    try:
        if sys.platform != "linux":
            yield
            return
        import fcntl

        before = fcntl.fcntl(stream, fcntl.F_GETFL)
        fcntl.fcntl(stream, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(stream, fcntl.F_SETFL, before | os.O_ASYNC)
        if select.select([stream], [], [], 0)[0]:  # it is gone already: nobody sends a request before the answer
            os._exit(0)
        try:
            yield
        finally:
            fcntl.fcntl(stream, fcntl.F_SETFL, before)
    finally:
        faulthandler.cancel_dump_traceback_later()
