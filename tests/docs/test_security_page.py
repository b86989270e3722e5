"""The page on security: its commands are there, and its counts are those that were recorded."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def test_every_campaign_of_the_page_can_be_run(page: Callable[..., Any]) -> None:
    text = page("docs/security.md").text
    commands = re.findall(r"^python (tests/campaign/\S+) +([^#\n]+?) +#", text, re.M)
    there = {f"tests/campaign/{Path(command).name}" for command, _ in commands}
    assert len(there) == len(commands) == 6
    for script, options in commands:
        told = subprocess.run([sys.executable, ROOT / script, "--help"], capture_output=True, text=True, check=True)
        for option in shlex.split(options):
            assert not option.startswith("--") or option in told.stdout, (script, option)


def test_its_counts_are_those_that_were_recorded(page: Callable[..., Any]) -> None:
    text = page("docs/security.md").text
    recorded = [json.loads(line) for line in (ROOT / "docs" / "campaign.jsonl").read_text("utf-8").splitlines()]
    rows = re.findall(r"^\| `(\w+)` \| ([\d,]+) \| ([\d,]+) \|", text, re.M)
    told = [(name, int(count.replace(",", "")), int(failed.replace(",", ""))) for name, count, failed in rows]
    assert told == [(r["part"], r["inputs"], r["failed"]) for r in recorded]
