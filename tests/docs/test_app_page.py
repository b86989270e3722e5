"""The page on `hier app`: its commands serve it, its limits are those of the code, its figures can be measured."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hier.pipelines.answering.confidence import HOLDS, SURE
from hier.pipelines.page.examples import EXAMPLES
from hier.pipelines.page.visitors import BYTES, IDLE, IMAGES, UPLOAD

PAGE = "docs/app.md"


def test_each_command_serves_the_page_until_it_is_stopped(page: Callable[..., Any]) -> None:
    commands = [command.partition(" ;")[0] for command in page(PAGE).commands if command.startswith("hier app")]
    assert len(commands) == 2
    for command in commands:
        words = [*shlex.split(command)[1:], "--no-browser", "--port", "0"]  # the last of two ports counts
        with subprocess.Popen([sys.executable, "-m", "hier", *words], stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            try:
                found = re.search(r"http://127\.0\.0\.1:\d+/", server.stdout.readline())
                assert found is not None, command
                with urllib.request.urlopen(found[0], timeout=60) as answer:
                    assert b"<h1>hier</h1>" in answer.read()
                server.send_signal(signal.SIGINT)
                assert server.wait(60) == 0
            finally:
                server.kill()


def test_its_limits_and_bounds_are_those_of_the_code(page: Callable[..., Any]) -> None:
    text = " ".join(page(PAGE).text.split())
    assert f"up to {UPLOAD >> 20} MB" in text
    assert f"{IMAGES} images and {BYTES >> 20} MB" in text
    assert (IDLE, "an hour after the last request" in text) == (3600, True)
    assert f"at least {100 * SURE:.0f} %" in text
    assert f"by {HOLDS:g} or more" in text


@pytest.mark.slow
def test_its_figures_can_be_measured(page: Callable[..., Any], root: Path) -> None:
    (command,) = re.findall(r"`(python benchmarks/page\.py[^`]*)`", page(PAGE).text)
    words = [sys.executable, *shlex.split(command.replace("--count 20", "--count 1"))[1:]]
    told = subprocess.run(words, capture_output=True, text=True, check=True, cwd=root).stdout
    for example in EXAMPLES:
        assert re.search(rf"^{example.title} +{example.group} +first [\d.]+ s, then median [\d.]+ s", told, re.M)
        assert f"| {example.title} | {example.group} |" in page(PAGE).text
