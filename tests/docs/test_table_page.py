"""The page on the table of groups: its commands run, its example and its figures are what they were."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hier.datasets import PatternDataset
from PIL import Image

import hier

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("table")
    image = PatternDataset("atoms", 1, 192, groups=("p4m",), cells=(9, 16)).batch([0])[0].permute(1, 2, 0).numpy()
    Image.fromarray((255 * image).round().astype(np.uint8)).save(made / "micrograph.png")
    return made


def test_its_commands_and_code_run(page: Callable[..., Any], folder: Path, shell: Callable[..., Any]) -> None:
    there, text = shell(folder), page("docs/table.md")
    out = {command: there.run(command) for command in text.commands}
    assert len(out) >= 9
    for command in out:
        for file in re.findall(r"--(?:cell|hkl|cif|table-csv|report) (\S+)", command):
            assert (folder / file).stat().st_size > 1000, command
    (printed,) = (found for command, found in out.items() if command.endswith("00000000.png --table"))
    shown = re.findall(r"^[> ] [pc][1-6mg].*", text.text, re.M)
    got = [line for line in printed.splitlines() if re.match(r"[> ] [pc][1-6mg]", line)]
    assert len(shown) == len(got) == 17
    for expected, line in zip(shown, got, strict=True):
        numbers = expected.split(), line.split()[: len(expected.split())]
        for one, two in zip(*numbers, strict=True):
            near = re.fullmatch(r"[\d.]+", one) and re.fullmatch(r"[\d.]+", two) and abs(float(one) - float(two)) < 1
            assert one == two or near, (expected, line)
    for code in text.python:
        exec(code, {})


def test_its_figures_are_what_was_measured(page: Callable[..., Any]) -> None:
    text = page("docs/table.md").text
    for line in (ROOT / "docs" / "table.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        shares = [f"{100 * row[k]:.1f}" for k in ("networks", "weight", "holds", "tolerated", "refused")]
        told = " | ".join([row["line"], *shares, f"{row['phase']:.2f}"])
        assert f"| {told} |" in text, told


def test_its_uncertainties_are_what_was_measured(page: Callable[..., Any]) -> None:
    text = page("docs/table.md").text
    for line in (ROOT / "docs" / "refined.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        shares = [f"{100 * row[k]:.1f}" for k in ("within 1", "within 2")]
        told = " | ".join([row["line"], str(row["count"]), *shares, f"{row['error']:.2f}"])
        assert f"| {told} |" in text, told


def test_the_rows_in_the_readme_are_those_of_the_command() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^[> ] (p\S+|cm\S*) .* (holds|refused)$", text, re.MULTILINE)
    (found,) = hier.load().predict(ROOT / "examples" / "atoms_p31m.png")
    assert len(rows) == 6
    assert {row.group: row.verdict for row in found.table}.items() >= dict(rows).items()
