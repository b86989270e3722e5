"""What the campaigns on outputs and names share: the command line in this process, and how a campaign is told of."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import pickle
import random
import resource
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from io import BytesIO, TextIOWrapper
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
from PIL import Image

from hier.cli.app import main

SHOWN = 20  # failures that are told of in full
ENVIRONMENT = {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"}


@dataclass(frozen=True)
class Told:
    """What a command said: its exit code, None after a traceback, and its outputs."""

    code: int | None
    out: str
    err: str


def hier(*arguments: object, encoding: str = "utf-8", given: bytes = b"") -> Told:
    """`hier ARGUMENTS` in this folder and process, with an output of that encoding."""
    out, err = (TextIOWrapper(BytesIO(), encoding, errors) for errors in ("strict", "backslashreplace"))
    stdin = TextIOWrapper(BytesIO(given), "utf-8")
    code: int | None = 0
    words = ["hier", *map(str, arguments)]
    with (
        patch.object(sys, "argv", words),
        patch.object(sys, "stdin", stdin),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0
        except BaseException:
            code = None
            traceback.print_exc()
        for stream in (out, err):
            stream.flush()
    told = [stream.buffer.getvalue().decode(encoding) for stream in (out, err)]  # type: ignore[attr-defined]
    return Told(code, *told)


def forked(say: Callable[[], Told], limit: int | None = None) -> Told:
    """What `say` returns in a forked process, where no file can grow beyond `limit` bytes."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read)
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            with os.fdopen(write, "wb") as out:
                pickle.dump(say(), out)
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as came:
        content = came.read()
    os.waitpid(pid, 0)
    return pickle.loads(content) if content else Told(None, "", "the process died")


def untrained(folder: Path) -> Path:
    """The card of the small untrained model that the tests have; it takes every image for a pattern."""
    spec = importlib.util.spec_from_file_location("hier_conftest", Path(__file__).parents[1] / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.write_bundle(folder / "untrained.json")  # type: ignore[no-any-return]


def pattern(side: int = 64, period: float = 12.0) -> Image.Image:
    """A periodic image."""
    wave = np.cos(2 * np.pi * np.arange(side) / period)
    return Image.fromarray((60 * (wave[:, None] + wave) + 128).astype(np.uint8))


@dataclass
class Campaign:
    """Cases that were tried, and those that failed, each with how to repeat it."""

    part: str
    command: str
    inputs: int = 0
    failures: list[dict[str, Any]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def tell(self, case: str, problems: list[str], **how: Any) -> None:
        """Count a case, and keep it if it has problems."""
        self.inputs += 1
        self.counts[case] += 1
        if problems:
            self.failures.append({"case": case, "problems": problems, **how})
            print(f"\nFAILED {case} {how}: {problems}", file=sys.stderr)

    def as_dict(self) -> dict[str, Any]:
        return {
            "part": self.part, "command": self.command, "inputs": self.inputs, "failed": len(self.failures),
            "counts": dict(sorted(self.counts.items())), "failures": self.failures[:SHOWN],
        }  # fmt: skip


@contextmanager
def beside() -> Iterator[Path]:
    """A new folder, which is the working directory meanwhile, with an environment without colours and servers."""
    before = Path.cwd()
    with TemporaryDirectory() as folder, patch.dict(os.environ, ENVIRONMENT):
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)


Play = Callable[[Campaign, int, random.Random, Sequence[str]], None]


def run(part: str, inputs: int, play: Play, known: Sequence[str], text: str) -> None:
    """The script: options, `inputs` rounds of `play`, one line of JSON; exit code 1 where something failed."""
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument("--inputs", type=int, default=inputs, help="cases to try")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="append the line of JSON to this file, too")
    parser.add_argument("--commands", nargs="+", choices=known, default=known, help="only these; all if left out")
    given = parser.parse_args()
    command = f"python tests/campaign/{part}.py --inputs {given.inputs} --seed {given.seed}"
    command += "" if given.commands == known else f" --commands {' '.join(given.commands)}"
    campaign = Campaign(part, command)
    play(campaign, given.inputs, random.Random(given.seed), given.commands)
    line = json.dumps(campaign.as_dict())
    print(line)
    if given.out:
        with given.out.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    sys.exit(1 if campaign.failures else 0)
