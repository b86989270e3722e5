"""MLflow's page on the trainings of a folder, served by a child process for as long as the user looks at it."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...hierarchy.kept import make_room
from .errors import StoreError, reason, shown, store_errors
from .registry import check_there
from .runs import Store, send_pending
from .store import EXPERIMENT, QUIET
from .view import VIEW, keep_view

PATIENCE = 120.0  # s until the server must answer
SERVER = (  # MLflow's own command, in a process that does not outlive ours
    "import runpy; from hier.pipelines.stopping import die_with_input; die_with_input(); "
    "runpy.run_module('mlflow', run_name='__main__', alter_sys=True)"
)
logger = logging.getLogger("hier")


def serve_ui(store: Store, host: str = "127.0.0.1", port: int = 5000, browser: bool = True) -> None:
    """Show the trainings until Ctrl-C; a server named by MLFLOW_TRACKING_URI is not started, only its address is shown.

    Raises StoreError for an empty or unusable store, a port that is taken, a server that does not come up.
    """
    if store.uri.startswith(("http:", "https:")):
        _show(page(store.uri, prepare(store)), browser)
        return
    _check(store, host, port)
    place = prepare(store)
    with serving(store, host, port) as (server, address):
        _show(page(address, place), browser)
        print("Ctrl-C ends it", flush=True)
        server.wait()


def page(address: str, place: str) -> str:
    """The address of `place` (see `prepare`) on a server."""
    return f"{address.rstrip('/')}/#{place}"


def prepare(store: Store) -> str:
    """Send what is pending and keep the view of the table of runs; where on a server the table is."""
    sender = store.connect()
    send_pending(store, sender)
    place = f"/experiments/{sender.experiment}/runs?workflowType=machine_learning"
    try:
        if not sender.client.search_runs([sender.experiment], max_results=1):
            raise StoreError(f"nothing is recorded in {shown(store.uri)} yet: `hier train --level rotation` is a start")
        keep_view(sender)
    except store_errors() as error:
        # a server that may only be read still shows the runs, in its own order
        logger.warning("the page shows MLflow's default columns: %s", reason(error))
        return place
    return f"{place}&viewStateShareKey={VIEW}"


@contextmanager
def serving(store: Store, host: str, port: int) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A running MLflow server on a database, and its address; it is gone when the block ends."""
    log = store.root / "work" / "ui.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    make_room(log)
    command = [
        sys.executable, "-c", SERVER, "server", "--backend-store-uri", store.uri, "--artifacts-destination",
        (store.root / "artifacts").resolve().as_uri(), "--host", host, "--port", str(port), "--workers", "1",
    ]  # fmt: skip
    environment = {**QUIET, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **os.environ}
    with log.open("wb") as out:
        # a group of its own: Ctrl-C reaches us alone, and we end the server with its workers
        server = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=out, stderr=out, start_new_session=True
        )
    try:
        address = f"http://{_reachable(host)}:{port}"
        _wait(server, address, log)
        yield server, address
    finally:
        _end(server)


def _check(store: Store, host: str, port: int) -> None:
    check_there(store)
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise StoreError(
                f"cannot listen at {host}:{port}: {error.strerror or error}; try `hier ui --port {port + 1}`"
            ) from error


def _reachable(host: str) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{host}]" if ":" in host else host


def _wait(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
    raise StoreError(
        f"MLflow's server did not come up at {address}: {shown(*last) if last else 'no output'}, see {log}"
    )


def _end(server: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        if server.poll() is not None:
            return
        if hasattr(os, "killpg"):
            os.killpg(server.pid, number)
        else:
            server.send_signal(number)
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            continue


def _show(address: str, browser: bool) -> None:
    print(f"MLflow shows experiment {EXPERIMENT!r} at {address}", flush=True)
    if browser and not webbrowser.open(address):
        print("no browser could be opened: copy the address into one", flush=True)
