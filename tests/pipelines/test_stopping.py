"""Commands that are stopped: one line, the code that shells expect, and no child that lives on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hier.pipelines.stopping import Stopped, held, stoppable

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
WORKERS = """
    import os, time
    from hier.pipelines.generating.workers import in_order

    def job(seconds):
        time.sleep(seconds)
        return os.getpid()

    if __name__ == "__main__":
        for pid in in_order(job, [0, 0, 600, 600, 600], workers=2):
            print(pid, flush=True)
"""


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A program with two workers in the middle of ten minutes' work."""
    script = tmp_path / "workers.py"
    script.write_text(textwrap.dedent(WORKERS), encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as program:
        try:
            assert program.stdout is not None
            for _ in range(2):
                assert int(program.stdout.readline())
            yield program
        finally:
            for process in family(program.pid):
                process.kill()


def family(leader: int) -> list[psutil.Process]:
    """All living processes of a session."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (OSError, psutil.Error):
            continue
    return found


def nobody_is_left(leader: int, patience: float) -> bool:
    end = time.monotonic() + patience
    while family(leader) and time.monotonic() < end:
        time.sleep(0.05)
    return not family(leader)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_their_parent_in_the_middle_of_their_work(
    workers: subprocess.Popen[str], number: signal.Signals
) -> None:
    assert len(family(workers.pid)) >= 3
    started = time.monotonic()
    workers.send_signal(number)
    workers.wait(30)
    assert nobody_is_left(workers.pid, 20)
    assert time.monotonic() - started < 20


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGTERM, Stopped), (signal.SIGHUP, Stopped)])
def test_a_signal_unwinds_as_ctrl_c_does_and_is_known_afterwards(
    number: signal.Signals, kind: type[BaseException]
) -> None:
    before = signal.getsignal(number)
    with stoppable() as stop:
        with pytest.raises(kind):
            signal.raise_signal(number)
        signal.raise_signal(signal.SIGTERM)  # it is unwinding already
        assert stop.code == 128 + number
    assert signal.getsignal(number) == before


def test_a_stop_that_python_ignores_comes_again() -> None:
    class Thing:
        pass

    def gone(_: object) -> None:
        signal.raise_signal(signal.SIGTERM)  # what is raised in such a callback is ignored

    def lose() -> None:
        thing = Thing()
        reference = weakref.ref(thing, gone)
        del thing
        time.sleep(30)
        assert reference

    with stoppable() as stop:
        with pytest.raises(Stopped):
            lose()
        assert stop.code == 143


def test_an_ignored_signal_stays_ignored() -> None:
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stoppable() as stop:
            signal.raise_signal(signal.SIGHUP)
        assert stop.code is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_stop_waits_for_what_must_not_be_cut_in_two() -> None:
    steps = []

    def cut() -> None:
        with held():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
            steps.append("done")
        steps.append("never")

    with stoppable() as stop:
        with pytest.raises(Stopped):
            cut()
        assert stop.number == signal.SIGTERM
    assert steps == ["done"]


def command(folder: Path, *arguments: str, quiet: bool = False) -> subprocess.Popen[str]:
    """The command line in a session of its own, as a terminal starts it."""
    code = "from hier.cli.app import main; main()"
    where = subprocess.DEVNULL if quiet else subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=folder, stdout=subprocess.DEVNULL, stderr=where, text=True,
        start_new_session=True,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_stopped_command_says_so_in_a_line(tmp_path: Path, number: signal.Signals, code: int) -> None:
    program = command(tmp_path, "generate", "--source", "noise", "--count", "100", "--size", "128", "--out", "g")
    while not list(tmp_path.glob("g/*/*.png")):
        assert program.poll() is None, program.communicate()[1]
        time.sleep(0.05)
    program.send_signal(number)
    _, told = program.communicate(timeout=60)
    assert program.returncode == code
    assert "Traceback" not in told
    (line,) = [line for line in told.splitlines() if line.startswith("hier:")]
    assert "the same command again makes the rest" in line
    assert nobody_is_left(program.pid, 5)
    assert not [file for file in (tmp_path / "g").rglob(".*") if file.is_file()]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
@pytest.mark.parametrize("early", [True, False])
def test_the_page_of_trainings_is_gone_with_its_command(
    root: Path, free_port: int, number: signal.Signals, early: bool
) -> None:
    from hier.pipelines.tracking.runs import store

    client = store(root).connect()
    client.client.create_run(client.experiment)
    program = command(root.parent, "ui", "--no-browser", "--port", str(free_port))
    end = time.monotonic() + 120
    while time.monotonic() < end and not (_started(program.pid) if early else _listens(free_port)):
        assert program.poll() is None, program.communicate()[1]
        time.sleep(0.1)
    servers = _server(program.pid)
    assert servers
    program.send_signal(number)
    _, told = program.communicate(timeout=60)
    assert "Traceback" not in told
    assert "yield" not in told
    _, alive = psutil.wait_procs(servers, timeout=20)
    assert not alive
    assert not _listens(free_port)


def _server(parent: int) -> list[psutil.Process]:
    """MLflow's server with its workers: in a session of its own."""
    return psutil.Process(parent).children(recursive=True)


def _started(parent: int) -> bool:
    """Whether the server's process is there; a short-lived child of some library is none."""
    return any("--backend-store-uri" in _arguments(child) for child in _server(parent))


def _arguments(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.slow
def test_a_forked_process_predicts(tmp_path: Path) -> None:
    """OpenMP's threads are not in a fork, which would wait for them for ever."""
    script = """
        import multiprocessing
        import hier, numpy as np

        waves = np.cos(np.arange(200) / 4)[:, None] + np.cos(np.arange(200) / 4)
        predictor = hier.load()
        first = predictor.predict(waves)[0].group

        def same():
            raise SystemExit(0 if predictor.predict(waves)[0].group == first else 1)

        child = multiprocessing.get_context("fork").Process(target=same, daemon=True)
        child.start()
        child.join(30)
        raise SystemExit(9 if child.exitcode is None else child.exitcode)
    """
    (tmp_path / "fork.py").write_text(textwrap.dedent(script), encoding="utf-8")
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    assert subprocess.run([sys.executable, str(tmp_path / "fork.py")], env=environment, timeout=120).returncode == 0
