"""What stands on any page: links lead somewhere, options exist, settings are valid, and no page goes untested."""

from __future__ import annotations

import argparse
import os
import re
import runpy
import shlex
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer
from hier.pipelines.training.settings import train_settings

from hier.cli.app import app

Open = Callable[..., Any]
ROOT = Path(__file__).parents[2]
PAGES = ["README.md", *sorted(f"docs/{file.name}" for file in (ROOT / "docs").glob("*.md"))]
TESTS = "".join(file.read_text(encoding="utf-8") for file in Path(__file__).parent.glob("test_*.py"))
OUTSIDE = ("pip", "pytest", "mlflow", "printf", "export", "ray")  # not ours: what they take is not for us to check


class Parsed(Exception):
    """A script has read its options: the rest of it need not run."""


@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_run_by_a_test(name: str) -> None:
    assert f'"{name}"' in TESTS or f'"{Path(name).stem}"' in TESTS, "give the page a test beside this one"


@pytest.mark.parametrize("name", PAGES)
def test_links_and_pictures_are_there(name: str, page: Open) -> None:
    there = page(name)
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", there.text):
        assert target.startswith("https://") or (there.path.parent / target).exists(), target


@pytest.mark.parametrize("name", PAGES)
def test_options_of_all_commands_exist(name: str, page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those in the lines of the text too, with NAME or [...] in them, and those that would run for hours."""
    program: Any = typer.main.get_command(app)
    for command in (*page(name).commands, *page(name).inline):
        command = command.rpartition(" | ")[2] if " | hier " in command else command
        first, _, rest = command.partition(" > ")[0].partition(" ")
        if first in OUTSIDE or rest.startswith("-c "):
            continue
        words = shlex.split(rest)
        if first == "python":
            script_takes(ROOT / words[0], words[1:], monkeypatch)
        else:
            assert first == "hier", command
            takes(program, words, command)


def takes(program: Any, words: list[str], command: str) -> None:
    """Fails for a command or an option that `hier` does not have."""
    assert words[0] in program.commands, command
    asked = program.commands[words[0]]
    known = {name for option in asked.params for name in (*option.opts, *option.secondary_opts)} | {"--help"}
    assert {word.partition("=")[0] for word in words if word.startswith("-") and word != "-"} <= known, command
    for before, value in pairwise(words):
        if before == "--config" and os.sep in value:
            assert train_settings(ROOT / value).count >= 17


def script_takes(script: Path, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails for a script that is not there, or does not take these words."""
    if "argparse" not in script.read_text(encoding="utf-8"):
        return
    real = argparse.ArgumentParser.parse_args

    def parse(self: argparse.ArgumentParser, *given: Any, **more: Any) -> None:
        raise Parsed(real(self, *given, **more))

    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", parse)
        patch.setattr(sys, "argv", [str(script), *words])
        patch.syspath_prepend(str(script.parent))
        with pytest.raises(Parsed):
            runpy.run_path(str(script), run_name="__main__")
