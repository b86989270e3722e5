"""The pages on figures: what makes tables makes small ones, of docs/accuracy, routers, benchmark and extending."""

from __future__ import annotations

import json
import re
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml
from hier.datasets import SOURCES
from hier.models import systems
from hier.models.routing.router import ROUTERS
from hier.pipelines.benchmark.cells import cells
from hier.pipelines.benchmark.page import foreign, mistakes
from hier.pipelines.benchmark.rows import Row
from hier.pipelines.benchmark.settings import load_preset
from hier.pipelines.training import calibrate
from PIL import Image

Open = Callable[..., Any]
NOT_RUN = {
    'python benchmarks/accuracy.py table.jsonl --photos FOLDER --model "tree=mlruns/models/wallpaper" '
    '--model "flat=mlruns/models/wallpaper:flat" --pixels "pixels=pixels.pt"': "its rule is fitted on 510 images",
}
SMALLER = {
    "--preset cpu --photos my/photographs": "--preset small.yaml --photos my/photographs",
    "--preset cpu --photos FOLDER": "--preset small.yaml --photos FOLDER",
    "--preset cpu --only": "--preset small.yaml --photos my/photographs --only",
    "--preset cpu --budget-images 1700": "--preset small.yaml --photos my/photographs --budget-images 17",
    "--count 1700": "--count 3",
    "--fit 1020": "--fit 17",
}
SMALL = {
    "name": "cpu", "size": 48, "cells": [4, 9], "count": 34, "valid_count": 17, "cross_count": 17, "epochs": 1,
    "batch": 17, "width": 8, "systems": ["resnet", "maps-tree"],
    "networks": dict.fromkeys(("resnet", "densenet", "pyramid", "small", "maps", "xcit"), "test_resnet"),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, root: Path, pool: Any) -> Path:
    made = tmp_path_factory.mktemp("measured")
    shutil.copy(root / "docs" / "accuracy.jsonl", made / "table.jsonl")
    shutil.copy(root / "examples" / "atoms_p6.png", made / "image.png")
    (made / "small.yaml").write_text(yaml.safe_dump(SMALL), encoding="utf-8")
    for place in ("my/images", "THEIRS"):
        (made / place / "p6").mkdir(parents=True)
        shutil.copy(root / "examples" / "atoms_p6.png", made / place / "p6" / "atoms.png")
    for place in ("my/photographs/train", "my/photographs/valid", "FOLDER/train", "FOLDER/valid"):
        (made / place).mkdir(parents=True)
        for picture, name in zip(pool.pictures, pool.names, strict=True):
            Image.fromarray(picture.permute(1, 2, 0).numpy()).save(made / place / f"{name}.png")
    return made


@pytest.mark.slow
def test_the_table_of_accuracy(page: Open, folder: Path, shell: Open) -> None:
    there, told = shell(folder), page("docs/accuracy.md")
    assert set(NOT_RUN) < set(told.commands)
    table, record = (command for command in told.commands if command not in NOT_RUN)
    tables = there.run(table)
    assert "| atoms |" in tables
    assert all(made in told.text for made in tables.strip().split("\n\n"))
    there.run(record)
    assert (folder / "mlruns" / "mlflow.db").exists()


def test_the_readme_has_the_figures_of_the_table(page: Open, root: Path) -> None:
    rows = list(map(json.loads, (root / "docs" / "bundled.jsonl").read_text(encoding="utf-8").splitlines()))
    measured = {row["line"]: row["models"]["bundled"] for row in rows}
    said = re.findall(r"\| ([\d.]+) % \| ([\d.]+) % \| `hier evaluate --source (\w+)", page("README.md").text)
    assert [source for _, _, source in said] == list(SOURCES)
    assert {f"--count {row['count']} --seed {row['seed']}" for row in rows if row["line"] in SOURCES} == {
        re.sub(r".*(--count \d+ --seed \d+).*", r"\1", line)
        for line in page("README.md").text.splitlines()
        if "`hier evaluate --source " in line and "| `" in line
    }
    for group, rotation, source in said:
        assert group == f"{100 * measured[source]['groups']:.2f}"
        assert float(group) <= float(rotation) <= 100 * measured[source]["family"] + 0.005


def test_the_page_has_the_table_of_the_bundled_model(page: Open, root: Path) -> None:
    made = runpy.run_path(str(root / "benchmarks" / "accuracy_table.py"))
    rows, before = (made["rows_of"](root / "docs" / f"{name}.jsonl") for name in ("bundled", "accuracy"))
    assert (
        made["table"](made["beside"](rows, before, "bundled"), [], ["bundled"]).strip() in page("docs/accuracy.md").text
    )


def test_every_goal_belongs_to_a_line(root: Path) -> None:
    goals = runpy.run_path(str(root / "benchmarks" / "accuracy_table.py"))["GOALS"]
    rows = map(json.loads, (root / "docs" / "accuracy.jsonl").read_text(encoding="utf-8").splitlines())
    assert set(goals) < {row["line"] for row in rows}


@pytest.mark.slow
def test_the_table_of_routers(page: Open, folder: Path, shell: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "SIZE", 64)  # px
    there, told = shell(folder, SMALLER), page("docs/routers.md")
    (command,) = (command for command in told.inline if command.startswith("python "))
    for name in ROUTERS:
        assert f"| `{name}` |" in told.text
        assert f"| atoms | {name}" in told.text
    out = there.run(command)
    assert {re.findall(r"\| (\w+) \| (\w+)", line)[0] for line in out.splitlines()[2:]} == {
        (source, name) for source in SOURCES for name in ROUTERS
    }


def test_the_page_has_the_rows_of_the_benchmark(page: Open, root: Path) -> None:
    results = json.loads((root / "docs" / "benchmark.json").read_text(encoding="utf-8"))
    rows, text = [Row.model_validate(row) for row in results["rows"]], page("docs/benchmark.md").text
    tables = [f"| {' | '.join(cells(row))} |" for row in rows] + mistakes(rows) + foreign(rows)
    missing = [line for line in tables if line.startswith("|") and line not in text]
    assert not missing
    told = {key: value for key, value in results["preset"].items() if key != "name"}
    assert told == {k: v for k, v in load_preset("cpu").model_dump(mode="json").items() if k != "name"}


@pytest.mark.slow
def test_the_benchmark(page: Open, folder: Path, shell: Open) -> None:
    """The page's commands, then those of a system of one's own: the code of the page is the file that they import."""
    there = shell(folder, SMALLER)
    for command in page("docs/benchmark.md").commands:
        out = there.run(command)
        assert out or ">" in command, command
        for name in re.findall(r"--only (\S+)", command):
            assert name in out
    assert load_preset(str(folder / "mine.yaml")) == load_preset("cpu")
    assert (folder / "image-why.png").stat().st_size > 1000
    own = page("docs/extending.md")
    (code,) = own.python
    (folder / "mine.py").write_text(code, encoding="utf-8")
    tables = [getattr(systems, name) for name in ("REPRESENTATIONS", "BACKBONES", "LOSSES", "SYSTEMS")]
    with patch.dict(tables[0]), patch.dict(tables[1]), patch.dict(tables[2]), patch.dict(tables[3]):
        for command in own.commands:
            assert "slopes" in there.run(command) or "convnext_nano" in command
