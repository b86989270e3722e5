"""Readers that crash, hang or swell do so in their own process: one line for that file, and answers for the others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import psutil
import pytest
from hier.pipelines.reading import apart
from hier.pipelines.reading.images import ImageError, open_picture, read

from hier.cli.app import main

PIXELS = np.random.default_rng(0).integers(0, 2**16, (40, 48), dtype=np.uint16)
# a reader that does what the name of a file says, in place of the real one for such names
BAD = """
import ctypes, os, sys, time
from hier.pipelines.reading import worker
real = worker.read_foreign

def reader(path, *rest):
    match path.stem:
        case "crash": os.kill(os.getpid(), 11)
        case "exit": os._exit(3)
        case "sleep": time.sleep(60)
        case "stuck": ctypes.PyDLL(None).sleep(60)  # holds the interpreter's lock
        case "swell": bytearray(3 * 2**30).find(1)
        case "print":
            print("a library speaks", flush=True)
            os.write(1, b"and so does C"), os.write(2, b"in vain")
        case "odd": raise type("OddError", (Exception,), {})("line\\nline" + chr(27) + "[2J")
        case "once" if worker.answered: os.kill(os.getpid(), 11)
    worker.answered = True
    return real(path, *rest)

worker.answered, worker.read_foreign = False, reader
worker.serve()
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of good files, whose names say what the reader does; another process for this test alone."""
    monkeypatch.setattr(apart, "CODE", f"import sys, json; sys.path[:] = json.loads(sys.argv[1])\n{BAD}")
    apart._kept.stop()
    for name in ("good", "crash", "exit", "sleep", "stuck", "swell", "print", "odd", "once"):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["data"] = PIXELS
    yield tmp_path
    apart._kept.stop()


def worker() -> psutil.Process:
    assert apart._kept.worker is not None
    return psutil.Process(apart._kept.worker.process.pid)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("crash", r"cannot be read: the reader crashed \(signal 11\), the file may be damaged"),
        ("exit", r"cannot be read: the reader crashed \(exit status 3\), the file may be damaged"),
        ("sleep", r"cannot be read: it takes longer than 1 s, the file may be damaged"),
        ("stuck", r"cannot be read: it takes longer than 1 s, the file may be damaged"),
        ("swell", r"needs more than 2 GB of memory to be read: crop or shrink it first"),
        ("odd", r"cannot be read, the file may be damaged: line line\\x1b\[2J"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="signals, and memory is not limited")
def test_what_a_reader_does_to_its_process_is_one_line(
    name: str, told: str, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "SECONDS", 1)
    for before in (False, True):  # by the first file of a process and by a later one
        with pytest.raises(ImageError, match=f"^{told}$"):
            read(files / f"{name}.h5")
        assert (open_picture(files / "good.h5").array == PIXELS).all(), before


def test_one_process_reads_many_files_and_what_libraries_print_is_lost(files: Path, capfd: Any) -> None:
    for name in ("good", "print", "good"):
        assert (open_picture(files / f"{name}.h5").array == PIXELS).all()
        first = worker()
    assert worker() == first
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_file_does_not_fail_for_what_was_read_before_it(files: Path) -> None:
    read(files / "good.h5")
    assert (open_picture(files / "once.h5").array == PIXELS).all()


def test_a_limit_of_memory_and_light_imports(files: Path) -> None:
    read(files / "good.h5")
    maps = Path(f"/proc/{worker().pid}/maps")
    assert not maps.exists() or "torch" not in maps.read_text(encoding="utf-8")
    if sys.platform == "linux":
        assert worker().rlimit(psutil.RLIMIT_AS)[0] == apart.MEMORY
    assert worker().memory_info().rss < 200e6


def test_threads_share_the_process(files: Path) -> None:
    found: list[bool] = []
    some = [
        threading.Thread(
            target=lambda: found.extend((open_picture(files / "good.h5").array == PIXELS).all() for _ in range(5))
        )
        for _ in range(4)
    ]
    for thread in some:
        thread.start()
    for thread in some:
        thread.join()
    assert found == [True] * 20
    assert (open_picture(files / "good.h5").array == PIXELS).all()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_the_command_has_a_row_for_each_file_whatever_the_readers_do(
    files: Path, card_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.setattr(apart, "SECONDS", 1)
    table = tmp_path_factory.mktemp("table") / "rows.jsonl"
    command = ["hier", "predict", str(files), "--jsonl", str(table), "--model", str(card_path), "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    rows = [json.loads(line) for line in table.read_text(encoding="utf-8").splitlines()]
    told = {Path(row["file"]).stem: row.get("error") or "" for row in rows if "file" in row}
    assert {name for name, error in told.items() if not error} == {"good", "print", "once"}
    assert "signal 11" in told["crash"]
    assert "longer than 1 s" in told["sleep"]
    assert "more than 2 GB" in told["swell"]
    assert len(told) == len(list(files.iterdir()))
    said = capfd.readouterr().err
    assert "Traceback" not in said
    assert "in vain" not in said


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_process_starts_its_own(files: Path) -> None:
    read(files / "good.h5")
    before = worker()
    child = os.fork()
    if not child:
        code = 1
        try:
            same = (open_picture(files / "good.h5").array == PIXELS).all() and worker() != before
            code = 0 if same else 2
            apart._kept.stop()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (open_picture(files / "good.h5").array == PIXELS).all()
    assert worker() == before


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_an_interruption_leaves_nothing_behind(files: Path) -> None:
    read(files / "good.h5")
    before = worker()
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        read(files / "sleep.h5")
    assert not before.is_running()
    assert (open_picture(files / "good.h5").array == PIXELS).all()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it ends when its time is over")
@pytest.mark.parametrize("name", ["good", "sleep", "stuck"])
def test_the_process_ends_with_the_one_that_asked(name: str, files: Path) -> None:
    asker = f"""
        import threading, time
        from hier.pipelines.reading import apart
        from hier.pipelines.reading.images import read
        apart.CODE = {apart.CODE!r}
        read({str(files / "good.h5")!r})
        print(apart._kept.worker.process.pid, flush=True)
        read({str(files / name)!r} + ".h5")
        time.sleep(60)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(asker)], stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        reader = psutil.Process(int(running.stdout.readline()))
        time.sleep(0.3)
        assert reader.is_running()
        running.kill()
    reader.wait(timeout=2)


def test_modules_in_the_folder_of_images_are_not_imported(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (files / "json.py").write_text("import os; os._exit(9)")
    (files / "numpy.py").write_text("import os; os._exit(9)")
    monkeypatch.chdir(files)
    assert (open_picture("good.h5").array == PIXELS).all()


def test_a_process_that_does_not_start_is_told(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "CODE", "import nothing_of_this_name")
    with pytest.raises(ImageError, match=r"the process that reads such files does not start \(exit status 1\)"):
        read(files / "good.h5")
