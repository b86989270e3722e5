"""Whether files are read as they must be: by the function, within time and memory, and by the command."""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from formats_seeds import RAW
from hier.pipelines.reading import apart
from hier.pipelines.reading.errors import MESSAGE
from hier.pipelines.reading.foreign import HDF5
from hier.pipelines.reading.images import ImageError, read
from hier.pipelines.reading.picture import Reading

SECONDS = apart.SECONDS + 3  # of one input; a busy machine is slow to notice that time is over
STARTED = 20.0  # more where libraries had to be imported, which a busy machine does slowly
MEMORY = 2 * 2**30  # bytes, of this process or the one that reads
HANGS = 40  # seconds after which this process gives up an input
COMMAND = 30 * 60  # seconds of a folder
Failures = list[dict[str, Any]]


class Hang(BaseException):
    """An input took so long that it was given up; not to be caught as an error of a decoder."""


def hung(_: int, __: FrameType | None) -> None:
    raise Hang


def read_all(files: list[Path]) -> tuple[Counter[str], Failures]:
    """Each file read in this process, with all that may go wrong looked for."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGALRM, hung)
    counts, failures = Counter[str](), []
    before = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            for path in files:
                what, wrong = read_one(path)
                counts[what] += 1
                if said.tell() != os.fstat(said.fileno()).st_size:
                    wrong = f"was written to the terminal: {said.read()[:200]!r}"
                if wrong:
                    failures.append({"index": int(path.name.partition("-")[0]), "file": path.name, "what": wrong})
        finally:
            os.dup2(before, 2)
            os.close(before)
    return counts, failures


def read_one(path: Path) -> tuple[str, str]:
    """What came of it, and what is wrong, if anything is."""
    index = int(path.name.partition("-")[0])
    page = (None, None, None, 1, 2)[index // 50 % 5]
    started, ready = time.monotonic(), prepared(path.suffix)
    signal.alarm(HANGS)
    faulthandler.dump_traceback_later(HANGS + 20, exit=True)  # where a library does not come back for the alarm
    wrong = ""
    try:
        inside = "::/soft" if path.suffix in HDF5 and index % 3 == 0 else ""
        image = read(f"{path}{inside}", Reading.of(page=page, raw=RAW)).image
        what = "images"
        if image.shape[0] != 3 or not (0 <= float(image.min()) <= float(image.max()) <= 1):
            wrong = f"an image {tuple(image.shape)} of {float(image.min())} to {float(image.max())}"
    except ImageError as error:
        what = "refused"
        said = str(error)
        if not said.isprintable() or len(said) > MESSAGE:
            wrong = f"is not one line: {said!r}"
        what = "crashes" if "crashed" in said else "late" if "longer than" in said else what
        what = "large" if "needs more" in said else what
    except Hang:
        what, wrong = "hangs", f"took more than {HANGS} s"
    except BaseException:
        what, wrong = "tracebacks", traceback.format_exc(limit=-4)
    finally:
        signal.alarm(0)
        faulthandler.cancel_dump_traceback_later()
    took = time.monotonic() - started
    if took > SECONDS + STARTED * (not ready or not prepared(path.suffix)) and not wrong:
        wrong = f"took {took:.1f} s ({what})"
    for pid in filter(None, (os.getpid(), reading())):
        peak = most_memory(pid)
        if peak > MEMORY:
            wrong = wrong or f"took {peak / 1e9:.2f} GB ({what})"
    return what, wrong


def reading() -> int:
    """The process that reads; 0 if there is none."""
    return apart._kept.worker.process.pid if apart._kept.worker else 0


def prepared(suffix: str) -> bool:
    """Whether there is a process that has imported what reads such files."""
    return apart._kept.worker is not None and suffix.lower() in apart._kept.worker.ready


def most_memory(pid: int) -> int:
    """Bytes of memory that a process has held at most since it was last asked about more than it should hold."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:  # it has ended, or there is no such thing
        return 0
    peak = 1024 * int(status.partition("VmHWM:")[2].split(maxsplit=1)[0] or 0)
    if peak > MEMORY:
        Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
    return peak


def command(folder: Path, table: Path) -> tuple[Counter[str], Failures]:
    """The real command on a folder: a row for each file, no traceback, and an exit status that it documents."""
    counts = Counter[str]()
    files = sorted(str(path) for path in folder.iterdir())
    arguments = ["predict", str(folder), "--jsonl", str(table), "--device", "cpu", "--raw", RAW]
    code = "import sys; from hier.cli.app import main; sys.exit(main())"
    started = time.monotonic()
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, timeout=COMMAND, env=environment
        )
    except subprocess.TimeoutExpired:
        return counts, [{"what": "the command hangs", "index": first_of(files), "files": len(files)}]
    rows = [json.loads(line) for line in table.read_text(encoding="utf-8").splitlines()] if table.exists() else []
    rows = [row for row in rows if "file" in row]
    counts.update(commands=1, rows=len(rows), answers=sum(not row.get("error") for row in rows))
    counts["seconds of commands"] = round(time.monotonic() - started)
    said = done.stderr.decode(errors="replace")
    wrong = []
    if done.returncode not in (0, 2):
        wrong.append(f"exit status {done.returncode}")
    if "Traceback" in said:
        wrong.append("a traceback")
    if sorted(str(row["file"]) for row in rows) != files:
        wrong.append(f"{len(rows)} rows of {len(files)} files")
    if wrong:
        return counts, [{"what": ", ".join(wrong), "index": first_of(files), "files": len(files), "said": said[-1500:]}]
    return counts, []


def first_of(files: list[str]) -> int:
    return int(Path(files[0]).name.partition("-")[0])
