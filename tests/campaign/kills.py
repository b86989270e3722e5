"""Stop every command by every signal at any moment, run it again, and compare with a run that was not stopped.

    python tests/campaign/kills.py --inputs 500 --seed 0

A stop comes before a change of a file, the n-th that the command makes, or after a random time. Afterwards no child
lives and the same command again ends as if nothing had happened: the same bits, the same records, nothing unfinished.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import forked
from stages import STAGES, Stage, prepare

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGKILL")
CODES = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129, "SIGKILL": -9}


@dataclass(frozen=True)
class Case:
    """A command, a signal, and when it comes: before a change of files (0: none), or after a share of the run."""

    command: str
    signal: str
    step: int
    share: float
    group: bool

    def __str__(self) -> str:
        """How to repeat it."""
        when = f"--step {self.step}" if self.step else f"--share {self.share:.4f}"
        return f"--commands {self.command} --signal {self.signal} {when}" + (" --group" if self.group else "")


@dataclass(frozen=True)
class Whole:
    """A run that was not stopped: what it made, in how many changes of files and seconds."""

    made: Any
    steps: int
    seconds: float


def cases(inputs: int, seed: int, commands: list[str], wholes: dict[str, Whole]) -> list[Case]:
    """Commands and signals in turn; half of the stops at a step, spread over all that there are."""
    rng, made = random.Random(seed), []
    turns = [name for k in range(3) for name in commands if k < STAGES[name].often]
    stopped = Counter({name: k for k, name in enumerate(commands)})  # so that few cases have all signals too
    for k in range(inputs):
        command = turns[k % len(turns)]
        name = SIGNALS[stopped[command] % len(SIGNALS)]
        stopped[command] += 1
        step = 1 + int(rng.random() * wholes[command].steps) if rng.random() < 0.5 else 0
        made.append(Case(command, name, step, rng.random(), name == "SIGINT" and rng.random() < 0.3))
    return made


def tried(case: Case, stage: Stage, whole: Whole, folder: Path, state: Path) -> list[str]:
    """What is wrong after a stop and another run."""
    forked.again(folder, state)
    number = getattr(signal, case.signal)
    command = forked.start(stage.arguments, folder, (case.step, number) if case.step else None)
    if not case.step:
        time.sleep(case.share * whole.seconds)
        (os.killpg if case.group else os.kill)(command.pid, number)
    code, problems = command.ended(), []
    first = command.said()
    if code is None:
        problems.append("the stopped command was stuck")
    elif code not in (0, CODES[case.signal], -number):
        problems.append(f"exit code {code}")
    if "Traceback" in first:
        problems.append("traceback of the stopped command")
    problems += [f"left alive: {line[:200]}" for line in command.left_alone()]
    expected = whole.made
    if again := stage.name == "assemble" and registered(folder):  # it was done, and the next is another version
        expected = {name: value for name, value in expected.items() if name != "records"}
    command = forked.start(stage.arguments, folder)
    code, second = command.ended(), command.said()
    problems += [f"left alive: {line[:200]}" for line in command.left_alone()]
    if code != 0:
        problems.append("the second command was stuck" if code is None else f"exit code {code} of the second command")
    if "Traceback" in second:
        problems.append("traceback of the second command")
    if code == 0:
        found = stage.made(folder)
        if again:
            del found["records"]
        if found != expected:
            problems.append(f"another result: {difference(expected, found)}")
    problems += [f"stray: {name}" for name in forked.stray(folder)]
    return [*problems, first[-4000:], second[-4000:]] if problems else []


def registered(folder: Path) -> bool:
    """Whether an assembled classifier is registered, and nothing of that is left to do."""
    named = any(name == "hier-tree" for name, *_ in forked.records(folder / "mlruns")["aliases"])
    return named and not list((folder / "mlruns" / "work").glob("assemble-*.txt"))


def difference(one: Any, two: Any, where: str = "") -> str:
    """The first place where two results differ."""
    if isinstance(one, dict) and isinstance(two, dict) and one.keys() == two.keys():
        return next((difference(one[k], two[k], f"{where}/{k}") for k in one if one[k] != two[k]), "")
    if isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        return next(
            (difference(a, b, f"{where}/{i}") for i, (a, b) in enumerate(zip(one, two, strict=True)) if a != b), ""
        )
    return f"{where}: {str(one)[:300]} became {str(two)[:300]}"


def undisturbed(stage: Stage, folder: Path, state: Path) -> Whole:
    """Run a command to its end."""
    forked.again(folder, state)
    command = forked.start(stage.arguments, folder)
    code, seconds = command.ended(), time.monotonic() - command.started
    command.left_alone()
    if code != 0:
        raise SystemExit(f"{stage.name} fails without a stop:\n{command.said()}")
    return Whole(stage.made(folder), int(folder.with_name("steps").read_text(encoding="utf-8")), seconds)


def campaign(given: argparse.Namespace, work: Path, tell: Callable[[str], None]) -> int:
    """All cases, one after another, in the folder `work`."""
    forked.ready()
    chosen = given.commands or list(STAGES)
    folder = work / "case"
    states = prepare(chosen, work, folder)
    wholes = {}
    for name in chosen:
        wholes[name] = undisturbed(STAGES[name], folder, states[name])
        tell(f"{name}: {wholes[name].steps} steps, {wholes[name].seconds:.1f} s")
    made = cases(given.inputs, given.seed, chosen, wholes)
    if given.signal:
        made = [Case(name, given.signal, given.step, given.share, given.group) for name in chosen]
    failures, counts, started = [], Counter[str](), time.monotonic()
    for k, case in enumerate(made, 1):
        problems = tried(case, STAGES[case.command], wholes[case.command], folder, states[case.command])
        counts[f"{case.command} {case.signal}"] += 1
        if problems:
            failures.append({"repeat": f"{sys.argv[0]} {case}", "problems": problems})
            tell(f"FAILED {case}: {problems[:-2]}\n{problems[-2]}")
        if k % 20 == 0:
            tell(f"{k} of {len(made)}, {len(failures)} failed, {time.monotonic() - started:.0f} s")
    seconds = round(time.monotonic() - started)
    return forked.tell("kills", failures, len(made), given.out, seconds=seconds, kills=dict(sorted(counts.items())))


def main(arguments: list[str] | None = None) -> int:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commands", nargs="+", choices=list(STAGES))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--states", type=Path, help="keep what commands start from in this folder, for the next time")
    parser.add_argument("--signal", choices=SIGNALS, help="one case for each command, as a failure tells it")
    parser.add_argument("--step", type=int, default=0)
    parser.add_argument("--share", type=float, default=0.5)
    parser.add_argument("--group", action="store_true")
    given = parser.parse_args(arguments)
    return forked.in_folder(given.states, lambda work: campaign(given, work, forked.say))


if __name__ == "__main__":
    sys.exit(main())
