"""The short form of the campaign on disks: in a process of its own, since it forks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from disks import KEPT, WRITERS, problems
from driving import Told

ROOT = Path(__file__).parents[2]


def play(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "tests/campaign/disks.py", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("command", "lines", "holds"),
    [
        ("train", ["no space left"], True),
        ("train", [KEPT, "no space left"], True),
        ("train", [KEPT, KEPT, "no space left"], False),
        ("train", ["no space left", KEPT], False),
        ("train", ["no space left", "no space left"], False),
        ("train", [], False),
        ("svg", [KEPT, "no space left"], False),
    ],
)
def test_a_warning_of_records_is_no_second_error(
    command: str, lines: list[str], holds: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = Told(2, "", "".join(f"hier: {line}\n" for line in lines))
    assert (problems(WRITERS[command], told, {}, {}, "disk") == []) is holds


def test_disks_that_fail_under_a_picture() -> None:
    done = play("--inputs", "14", "--commands", "svg", "png")
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]


@pytest.mark.slow
def test_disks_that_fail_under_tables_pages_and_exports() -> None:
    done = play("--inputs", "30", "--commands", "csv", "report", "overlay", "map", "generate-png")
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
