"""The short form of the campaign on disks."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = [sys.executable, "tests/campaign/disks.py"]  # of its own: it forks, which a process with threads must not

sys.path.insert(0, str(Path(__file__).parent))
import disks  # noqa: E402
from driving import Campaign  # noqa: E402


@pytest.mark.slow
def test_disks_that_fail_under_all_commands() -> None:
    done = subprocess.run([*SCRIPT, "--inputs", "40"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_disks_that_fail_under_a_diagram() -> None:
    campaign = Campaign("disks", "pytest")
    disks.play(campaign, 14, random.Random(0), ("svg", "png"))
    assert not campaign.failures
