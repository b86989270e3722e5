"""Commands of the real command line in forked processes, stopped at will: what `kills` and `together` share.

Importing torch and MLflow takes seconds: this process does it once, runs no operation of torch, and a fork of it is a
command in milliseconds. Each is the leader of a session of its own, as a command in a terminal is.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil

LIMIT = 120.0  # s that a command may take
CHANGES = ("os.rename", "os.mkdir", "os.remove", "os.truncate", "sqlite3.connect")  # audited, beside files opened

IMPORTED = (
    "h5py", "mlflow.pyfunc", "mlflow.store.tracking.sqlalchemy_store", "hier.cli.app", "hier.pipelines.answering.many",
    "hier.pipelines.benchmark.run", "hier.pipelines.drawing.charts", "hier.pipelines.field.plot",
    "hier.pipelines.generating.export", "hier.pipelines.training.assemble", "hier.pipelines.training.train",
)  # fmt: skip


@dataclass(frozen=True)
class Command:
    """A running command: its process, and where its output goes."""

    pid: int
    output: Path
    started: float

    def ended(self, limit: float = LIMIT) -> int | None:
        """The exit code, negative for a signal; None for a command that had to be killed after the limit."""
        while time.monotonic() - self.started < limit:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.005)
        self.end()
        os.waitpid(self.pid, 0)
        return None

    def end(self) -> None:
        """Kill what is left of it."""
        for process in self.family():
            process.kill()

    def family(self) -> list[psutil.Process]:
        """All living processes of its session."""
        found = []
        for process in psutil.process_iter():
            try:
                if os.getsid(process.pid) == self.pid and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (OSError, psutil.Error):
                continue
        return found

    def left_alone(self, patience: float = 15.0) -> list[str]:
        """Its children that live on after it; they have a moment to notice that it is gone."""
        end = time.monotonic() + patience
        while (left := self.family()) and time.monotonic() < end:
            time.sleep(0.1)
        told = [" ".join(process.cmdline()) for process in left if process.is_running()]
        for process in left:
            process.kill()
        atexit.unregister(self.end)
        return told

    def said(self) -> str:
        """What it wrote on both streams."""
        return self.output.read_text(encoding="utf-8", errors="replace")


def ready() -> None:
    """Import what commands import. No operation of torch may run here: its threads would not be in the forks."""
    for module in IMPORTED:
        import_module(module)
    import_module("matplotlib.pyplot").switch_backend("agg")


def start(
    arguments: list[str], folder: Path, stop: tuple[int, int] | None = None, said: str = "output.txt",
    **environment: str,
) -> Command:  # fmt: skip
    """Run ``hier ARGUMENTS`` in `folder`; with `stop` it gets the signal before it changes files for the n-th time.

    Beside the folder `said` has its output, and ``steps`` the number of changes.
    """
    output = folder.with_name(said)
    started = time.monotonic()
    pid = os.fork()
    if pid:
        command = Command(pid, output, started)
        atexit.register(command.end)
        return command
    code = 70
    try:
        os.setsid()
        os.chdir(folder)
        os.environ.update(environment)
        streams = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for number, stream in ((1, sys.stdout), (2, sys.stderr)):
            os.dup2(streams, number)
            stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.default_int_handler if each == signal.SIGINT else signal.SIG_DFL)
        code = _run(arguments, folder, stop)
    except KeyboardInterrupt:  # before the command was there
        code = 128 + signal.SIGINT
    except BaseException:  # a fork must never return into the campaign
        traceback.print_exc()
    finally:
        os._exit(code)
    raise AssertionError


def _run(arguments: list[str], folder: Path, stop: tuple[int, int] | None) -> int:
    from hier.cli.app import main

    sys.argv = ["hier", *arguments]
    steps, own, inside = 0, os.getpid(), f"{folder}{os.sep}"

    def watch(event: str, given: tuple[Any, ...]) -> None:
        nonlocal steps
        written = event == "open" and isinstance(given[2], int) and given[2] & (os.O_WRONLY | os.O_RDWR)
        if (written or event in CHANGES) and os.getpid() == own and _within(given[0], inside):
            steps += 1
            if stop is not None and steps == stop[0]:
                os.kill(own, stop[1])

    sys.addaudithook(watch)
    try:
        main()
        return 0
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        folder.with_name("steps").write_text(str(steps), encoding="utf-8")
        for stream in (sys.stdout, sys.stderr):
            stream.flush()


def _within(path: object, folder: str) -> bool:
    return isinstance(path, (str, bytes, Path)) and (
        not os.path.isabs(name := os.fsdecode(path)) or name.startswith(folder)
    )


def again(folder: Path, state: Path) -> None:
    """`folder` as `state` is, at the same place: MLflow keeps absolute paths."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(state, folder, symlinks=True)


def weights(card: Path) -> str:
    """Digest of a bundle's weights, by names and values."""
    from safetensors.numpy import load_file

    found = hashlib.sha256()
    for name, array in sorted(load_file(card.with_suffix(".safetensors")).items()):
        found.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    return found.hexdigest()


def files(folder: Path, leave_out: tuple[str, ...] = ()) -> dict[str, str]:
    """Digests of all files under `folder`, by name."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name not in leave_out
    }


def records(root: Path) -> dict[str, Any]:
    """What MLflow holds that neither time nor chance decides: runs with status and figures, versions, aliases."""
    moving = ("seconds", "images_per_second", "system/", "load/", "cpu", "memory", "gpu")
    with closing(sqlite3.connect(root / "mlflow.db")) as database:
        runs = [
            (
                name,
                status,
                sorted(
                    (key, step, value)
                    for key, step, value in database.execute(
                        "SELECT key, step, value FROM metrics WHERE run_uuid = ?", [run]
                    )
                    if not any(word in key for word in moving)
                ),
            )
            for run, name, status in database.execute("SELECT run_uuid, name, status FROM runs")
        ]
        versions = database.execute("SELECT name, version FROM model_versions ORDER BY name, version").fetchall()
        aliases = database.execute("SELECT name, alias, version FROM registered_model_aliases").fetchall()
    return {"runs": sorted(runs), "versions": versions, "aliases": sorted(aliases)}


def stray(folder: Path) -> list[str]:
    """What a stop should not leave: unfinished files, and journals of a database."""
    return [
        str(file.relative_to(folder))
        for file in folder.rglob("*")
        if (file.name.startswith((".", "unfinished-")) and not file.name.endswith(".lock")) or "-journal" in file.name
    ]


def in_folder(states: Path | None, campaign: Callable[[Path], int]) -> int:
    """Run a campaign in `states`, which stays, or in a folder that does not; its commands do not outlive it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if states is not None:
        states.mkdir(parents=True, exist_ok=True)
        return campaign(states.resolve())
    with tempfile.TemporaryDirectory() as work:
        return campaign(Path(work).resolve())


def say(line: str) -> None:
    """Progress."""
    print(line, file=sys.stderr, flush=True)


def tell(part: str, failures: list[dict[str, Any]], inputs: int, out: Path | None, **counts: Any) -> int:
    """The campaign's result as one line of JSON; the exit code."""
    line = json.dumps(
        {"part": part, "command": " ".join(["python", *sys.argv]), "inputs": inputs, **counts,
         "failed": len(failures), "failures": failures[:20]}
    )  # fmt: skip
    print(line)
    if out is not None:
        with out.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
    return 1 if failures else 0
