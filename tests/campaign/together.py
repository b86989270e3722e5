"""Two commands at once in one folder, and an MLflow server that ends in the middle of a training.

    python tests/campaign/together.py --inputs 60 --seed 0

Of two commands one does the work; the other says one line, or finds it done. What is made is what a single one makes. A
server that dies or hangs costs a training ten seconds at most, and its records reach the server later, all of them.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import forked
from kills import Whole, difference, undisturbed
from stages import STAGES, TRAIN, Stage, prepare

LOST = 10.0  # s that a server which hangs may cost
SERVER = "server"


def both(stage: Stage, whole: Whole, folder: Path, state: Path, share: float) -> list[str]:
    """What is wrong after two of the same command, the second of which begins `share` of a run later."""
    forked.again(folder, state)
    first = forked.start(stage.arguments, folder, said="first.txt")
    time.sleep(share * whole.seconds)
    second = forked.start(stage.arguments, folder, said="second.txt")
    problems, codes = [], []
    for command in (first, second):
        codes.append(command.ended())
        said = command.said()
        if "Traceback" in said:
            problems.append("traceback")
        if codes[-1] == 2 and "is writing to" not in said:
            problems.append("refused without a reason")
        problems += [f"left alive: {line[:200]}" for line in command.left_alone()]
    if sorted(codes, key=str) not in ([0, 0], [0, 2]):
        problems.append(f"exit codes {codes}")
    twice = stage.name == "assemble" and codes == [0, 0]  # then two versions are right
    if not problems and not twice and (found := stage.made(folder)) != whole.made:
        problems.append(f"another result: {difference(whole.made, found)}")
    problems += [f"stray: {name}" for name in forked.stray(folder)]
    return [*problems, first.said()[-1500:], second.said()[-1500:]] if problems else []


@dataclass
class Server:
    """An MLflow server behind a way that ends when it is told to."""

    root: Path
    address: str
    control: Path

    def fails(self, after: int | None, kind: str = "") -> None:
        """From the request after so many on, counted from now; never if None."""
        self.control.write_text("" if after is None else f"{after} {kind}", encoding="utf-8")


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """A new server; its process and the way to it are ended afterwards."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    port, to, control = _port(), _port(), folder / "control"
    control.touch()
    command = [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}",
        "--artifacts-destination", f"file://{folder / 'artifacts'}", "--port", str(to), "--workers", "1",
    ]  # fmt: skip
    way = [sys.executable, str(Path(__file__).with_name("proxy.py")), str(port), str(to), str(control)]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("wb") as log:
        running = [
            subprocess.Popen(c, stdout=log, stderr=log, env=environment, start_new_session=True) for c in (command, way)
        ]
    try:
        end = time.monotonic() + 120
        while time.monotonic() < end and not _answers(to):
            time.sleep(0.2)
        yield Server(folder, f"http://127.0.0.1:{port}", control)
    finally:
        for process in running:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _answers(port: int) -> bool:
    import urllib.request

    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
            return True
    except OSError:
        return False


def trained(server: Server, folder: Path, state: Path) -> tuple[float, list[str], str]:
    """A training that is recorded on the server: seconds, what is wrong with how it ended, what it said."""
    forked.again(folder, state)
    command = forked.start(TRAIN, folder, MLFLOW_TRACKING_URI=server.address)
    code, seconds = command.ended(), time.monotonic() - command.started
    problems = [] if code == 0 else [f"exit code {code}"]
    command.left_alone()
    said = command.said()
    return seconds, problems + (["traceback"] if "Traceback" in said else []), said


def cut_off(server: Server, usual: float, weights: Any, folder: Path, state: Path, after: int, kind: str) -> list[str]:
    """What is wrong after a training whose server ends after so many requests, and a command that sends the rest."""
    server.fails(after, kind)
    seconds, problems, said = trained(server, folder, state)
    server.fails(None)
    if seconds > usual * 1.5 + LOST:
        problems.append(f"{seconds:.1f} s instead of {usual:.1f} s")
    if said.count("The training continues") > 1:
        problems.append("told more than once")
    if not problems and _weights(folder) != weights:
        problems.append("other weights")
    later = forked.start(["compare"], folder, MLFLOW_TRACKING_URI=server.address)
    if later.ended() != 0:
        problems.append("the records cannot be sent")
    later.left_alone()
    left = list((folder / "mlruns" / "work" / "pending").glob("*"))
    problems += [f"not sent: {file.name}" for file in left if file.name != ".lock"]
    return [*problems, said[-1500:], later.said()[-1500:]] if problems else []


def recorded(root: Path) -> tuple[Any, ...]:
    """What one training leaves on a server, with the number of versions that it made."""
    found = forked.records(root)
    return found["runs"], len(found["versions"])


def servers(count: int, rng: random.Random, work: Path, folder: Path, tell: Callable[[str], None]) -> list[Any]:
    """Failures of `count` trainings on servers that end."""
    state, failures = prepare(["train"], work, folder)["train"], []
    with serving(work / "server") as server:
        usual, problems, said = trained(server, folder, state)
        if problems:
            raise SystemExit(f"a training with a server fails: {problems} {said}")
        (runs, versions), weights = recorded(server.root), _weights(folder)
        for k in range(count):
            after, kind = rng.randrange(0, 80), ("die", "hang")[k % 2]
            problems = cut_off(server, usual, weights, folder, state, after, kind)
            now, made = recorded(server.root)
            expected = sorted(runs * (k + 2))
            if not problems and (now != expected or made != versions * (k + 2)):
                problems = [f"other records: {difference(expected, now)}; {made} versions"]
            if problems:
                failures.append(
                    {"repeat": f"{sys.argv[0]} --commands server, {kind} after {after}", "problems": problems}
                )
                tell(f"FAILED server {kind} after {after}: {problems}")
                break  # what is recorded can no longer be compared
    return failures


def _weights(folder: Path) -> Any:
    return forked.weights(folder / "mlruns" / "models" / "wallpaper" / "wallpaper.json")


def campaign(given: argparse.Namespace, work: Path, tell: Callable[[str], None]) -> int:
    """All cases, one after another, in the folder `work`."""
    forked.ready()
    commands = [name for name in given.commands or [*STAGES, SERVER] if name != SERVER]
    folder, rng = work / "case", random.Random(given.seed)
    states, failures, counts, started = prepare(commands, work, folder), [], Counter[str](), time.monotonic()
    wholes = {name: undisturbed(STAGES[name], folder, states[name]) for name in commands}
    alone = SERVER not in (given.commands or [SERVER])
    here = given.inputs if alone else given.inputs * 4 // 5 if commands else 0
    for k in range(here):
        name, share = commands[k % len(commands)], rng.choice([0.0, rng.random()])
        problems = both(STAGES[name], wholes[name], folder, states[name], share)
        counts[name] += 1
        if problems:
            failures.append({"repeat": f"{sys.argv[0]} --commands {name}, {share:.3f} later", "problems": problems})
            tell(f"FAILED {name} {share:.3f} later: {problems[:-2]}")
        if (k + 1) % 10 == 0:
            tell(f"{k + 1} of {here}, {len(failures)} failed, {time.monotonic() - started:.0f} s")
    if not alone:
        counts[SERVER] = max(2, given.inputs - here)
        failures += servers(counts[SERVER], rng, work, folder, tell)
    seconds = round(time.monotonic() - started)
    return forked.tell("together", failures, sum(counts.values()), given.out, seconds=seconds, cases=dict(counts))


def main(arguments: list[str] | None = None) -> int:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commands", nargs="+", choices=[*STAGES, SERVER])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--states", type=Path, help="keep what commands start from in this folder, for the next time")
    given = parser.parse_args(arguments)
    return forked.in_folder(given.states, lambda work: campaign(given, work, forked.say))


if __name__ == "__main__":
    sys.exit(main())
