"""The short form of the campaign on disks: in a process of its own, since it forks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def play(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "tests/campaign/disks.py", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_disks_that_fail_under_a_picture() -> None:
    done = play("--inputs", "14", "--commands", "svg", "png")
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]


@pytest.mark.slow
def test_disks_that_fail_under_tables_pages_and_exports() -> None:
    done = play("--inputs", "30", "--commands", "csv", "report", "overlay", "map", "generate-png")
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
