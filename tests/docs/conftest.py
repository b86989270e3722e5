"""What tests of the documentation share: pages taken apart into commands and code, and a shell that runs them.

Commands run as they stand on the page, in a folder with stand-ins of the files they name. What is made smaller is in
the table of each test, word for word: nothing else is changed.
"""

from __future__ import annotations

import io
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hier.cli.app import main

ROOT = Path(__file__).parents[2]
WORDS = r"(?:hier|python|pytest|pip|mlflow)"
BLOCK = r"^```{}\n(.*?)^```"


@dataclass(frozen=True)
class Page:
    """A page of the documentation."""

    path: Path

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def blocks(self) -> list[list[str]]:
        """Commands of each block for a shell: lines that go on joined, comments gone, `a && b` apart."""
        found = re.findall(BLOCK.format("(?:sh|bash|console)"), self.text, re.S | re.M)
        whole = [re.sub(r"(?:\\|\|)\n\s*", lambda m: "" if m[0][0] == "\\" else "| ", block) for block in found]
        lines = [[re.sub(r"(^|\s+)# .*", "", line) for line in block.splitlines()] for block in whole]
        return [[part.strip() for line in block for part in line.split(" && ") if part.strip()] for block in lines]

    @property
    def commands(self) -> list[str]:
        return [command for block in self.blocks for command in block]

    @property
    def inline(self) -> list[str]:
        """Commands within the lines of the text, such as stand beside figures; the bare name of a command is none."""
        text = re.sub(r"^```.*?^```", "", self.text, flags=re.S | re.M)
        return list(dict.fromkeys(re.findall(rf"`({WORDS} [^`\n]*\s[^`\n]+|python [^`\s]+)`", text)))

    @property
    def python(self) -> list[str]:
        return re.findall(BLOCK.format("python"), self.text, re.S | re.M)


@dataclass
class Shell:
    """Runs commands within this process, in the folder that it was given. `smaller`: what is put in place of what."""

    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    smaller: Mapping[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def run(self, command: str) -> str:
        """What a command prints. It must end well, and without a word of complaint."""
        for long, short in self.smaller.items():
            if long in command:
                self.used.add(long)
                command = command.replace(long, short)
        if command.startswith("export "):
            name, _, value = command.removeprefix("export ").partition("=")
            self.monkeypatch.setenv(name, value)
            return ""
        *before, last = command.split(" | ")
        last, _, target = last.partition(" > ")
        if before:
            listed = subprocess.run(" | ".join(before), shell=True, check=True, capture_output=True, text=True).stdout
            self.monkeypatch.setattr(sys, "stdin", io.StringIO(listed))
        self.capsys.readouterr()
        code = self._started(shlex.split(last))
        out, err = self.capsys.readouterr()
        assert not code, f"{command}: {err}"
        assert "hier: " not in err, command
        if target:
            Path(target).write_text(out, encoding="utf-8")
        return out

    def _started(self, words: list[str]) -> Any:
        with self.monkeypatch.context() as patch:
            patch.setattr(sys, "argv", words if words[0] == "hier" else words[1:])
            try:
                match words:
                    case ["hier", *_]:
                        main()
                    case ["python", "-c", code, *_]:
                        patch.setattr(sys, "argv", words[1:2] + words[3:])
                        patch.syspath_prepend(os.getcwd())
                        exec(code, {})
                    case ["python", file, *_]:
                        patch.syspath_prepend(str((ROOT / file).parent))
                        runpy.run_path(str(ROOT / file), run_name="__main__")
                    case _:
                        pytest.fail(f"no test runs {shlex.join(words)}: run it, or say why not")
            except SystemExit as stop:
                return stop.code
        return 0


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Shell]:
    """A shell in a folder, with the table of what is made smaller."""
    if os.name == "nt":
        pytest.skip("the commands are for a POSIX shell")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr(os, "cpu_count", lambda: 1)  # to start workers takes longer than what they would do here

    def opened(folder: Path, smaller: Mapping[str, str] | None = None) -> Shell:
        monkeypatch.chdir(folder)
        return Shell(monkeypatch, capsys, smaller or {})

    return opened


@pytest.fixture(scope="session")
def page() -> Callable[[str], Page]:
    """A page by its path in the repository."""
    return lambda name: Page(ROOT / name)


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT
