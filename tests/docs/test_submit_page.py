"""The page on releases: its commands and its code, on small sets."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hier.hierarchy import GROUP_NAMES

Open = Callable[..., Any]
SMALLER = {
    "--release sets": "--release sets --count 34 --size 96",
    "--release round1": "--release round1 --count 17 --size 96",
}


def test_the_page_on_releases(
    page: Open, tmp_path: Path, shell: Open, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    told, there = page("docs/submit.md"), shell(tmp_path, SMALLER)
    making, scoring, hiding = told.blocks
    reading, submitting = told.python
    (make,), (hide,) = making, hiding
    there.run(make)
    # elsewhere than in the checkout, whose folder of that name would be imported in place of Hugging Face's
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "huggingface")}
    read = subprocess.run(
        [sys.executable, "-P", "-c", reading], capture_output=True, text=True, env=offline, check=True
    )
    group, size = read.stdout.split(maxsplit=1)
    assert group in GROUP_NAMES
    assert size.strip() == "(96, 96)"
    exec(submitting, {})
    shown = [there.run(command) for command in scoring]
    assert "102 images" in shown[0]
    assert "(worst)" in shown[0]
    there.run(hide)
    assert there.used == set(SMALLER)
    assert (tmp_path / "round1-labels" / "labels.csv").exists()
    for file in (tmp_path / "round1").iterdir():
        assert b"p4g" not in file.read_bytes().replace(b"p4, p4m, p4g", b"")
        assert b"473829105564738291" not in file.read_bytes()
    for name in ("photos.parquet", "labels.csv", "photos-known.jsonl", "croissant.json", "README.md", "SHA256SUMS"):
        assert (tmp_path / "sets" / name).exists()
        assert f"`{name}`" in told.text
