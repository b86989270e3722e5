"""The page on distortions: its commands run, its table is what was measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hier.datasets import Corruption, PatternDataset
from PIL import Image

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("bent")
    tilt = (Corruption("perspective", (4, 4)),)
    dataset = PatternDataset("photos", 6, 192, groups=("p4m",), cells=(9, 16), corruptions=tilt)
    image = dataset.batch([0])[0].permute(1, 2, 0).numpy()
    Image.fromarray((255 * image).round().astype(np.uint8)).save(made / "micrograph.png")
    return made


def test_its_commands_run(page: Callable[..., Any], folder: Path, shell: Callable[..., Any]) -> None:
    there = shell(folder)
    commands = page("docs/distortion.md").commands
    assert len(commands) >= 5
    for command in commands:
        assert ("p4m" in there.run(command)) == ("--rectify none" not in command), command
    assert (folder / "straight.tif").exists()


def rows(name: str = "distortion.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (ROOT / "docs" / name).read_text("utf-8").splitlines()]


@pytest.mark.parametrize(("table", "name"), [("distortion", "distortion"), ("straightened", "accuracy")])
def test_its_table_is_what_was_measured(page: Callable[..., Any], table: str, name: str) -> None:
    text = page(f"docs/{name}.md").text
    for row in rows(f"{table}.jsonl"):
        assert f"| {told(row)} |" in text, told(row)
        assert f"{row['count']:,} patterns a line" in text


def told(row: dict[str, Any]) -> str:
    """A line of the table."""
    if row["line"] == "no pattern":
        return f"no pattern: refused |  | {100 * (1 - row['periodic']):.1f} |  |  |  | "
    errors = [f"{row[k]['median']:.3f}" if k in row else "" for k in ("tilt", "strain")]
    goal = "" if row["goal"] is None else f"{row['goal']:g}"
    figures = [f"{100 * row[k]:.1f}" for k in ("right", "plain", "held")]
    return " | ".join([row["line"], goal, *figures, *errors])


def test_its_table_of_regions_is_what_was_measured(page: Callable[..., Any]) -> None:
    text = page("docs/distortion.md").text
    for row in rows("regions.jsonl"):
        if row["regions"]:
            figures = [f"{100 * row['found']:.0f}", f"{100 * row['common']:.0f}", f"{100 * row['right']:.0f}"]
            line = [row["kind"], str(row["views"]), str(row["regions"]), *figures, str(row["extra"])]
            assert f"| {' | '.join(line)} |" in text, line
        else:
            assert f"{row['with regions']} of {row['views']} images without a pattern" in text
