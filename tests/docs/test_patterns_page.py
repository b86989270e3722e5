"""The page on patterns as data: its commands and its code, as they stand there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Open = Callable[..., Any]
SMALLER = {"--count 340": "--count 17", "--count 680": "--count 34"}


def test_the_page_on_patterns(
    page: Open, tmp_path: Path, shell: Open, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    told, there = page("docs/patterns.md"), shell(tmp_path, SMALLER)
    for command in told.commands:
        there.run(command)
    assert there.used == set(SMALLER)
    lines = [json.loads(line) for line in (tmp_path / "atoms" / "labels-00000.jsonl").open()]
    assert [line["index"] for line in lines] == list(range(34))
    for key in ("index", "group", "number", "origin", "a", "b", "corruptions", "distortions", "misfits"):
        assert key in lines[0]
        assert f"`{key}`" in told.text
    names: dict[str, Any] = {}
    capsys.readouterr()
    for block in told.python:
        exec(block.replace("num_workers=2", "num_workers=0"), names)
    out = capsys.readouterr().out
    assert out.count("torch.Size([32, 3, 128, 128])") == 3
    assert "group='cm', number=4" in out
    assert out.splitlines()[-1].endswith("cm")
