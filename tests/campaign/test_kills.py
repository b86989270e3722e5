"""The short forms of `kills` and `together`: each in a process of its own, which forks before torch has threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork") or sys.platform == "darwin", reason="forks what has imported torch"),
]


def told(script: str, *arguments: str) -> dict[str, Any]:
    """The line that a campaign ends with."""
    made = subprocess.run(
        [sys.executable, str(HERE / script), *arguments], stdout=subprocess.PIPE, text=True, timeout=900
    )
    found: dict[str, Any] = json.loads(made.stdout.splitlines()[-1])
    assert made.returncode == (1 if found["failed"] else 0)
    return found


def test_commands_that_are_stopped_end_alike_the_next_time() -> None:
    formats = [f"generate-{kind}" for kind in ("png", "npy", "hdf5", "webdataset")]
    found = told("kills.py", "--inputs", "14", "--commands", "train", *formats)
    assert found["failures"] == []
    assert sum(found["kills"].values()) == 14


def test_two_commands_at_once_make_what_one_makes() -> None:
    found = told("together.py", "--inputs", "10", "--commands", "generate-png", "generate-npy")
    assert found["failures"] == []
    assert found["inputs"] == 10
