"""The pages on images and on the tree: their commands run, as they stand there, on small images of those names."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hier.datasets import PatternDataset
from hier.hierarchy import NodeSpec, load_tree, parse_spec
from PIL import Image

Open = Callable[..., Any]
OTHERS = ("hierarchy", "how-it-decides", "own-tree", "limits", "reality")
SMALLER = {
    "python examples/frieze.py": "python examples/frieze.py --count 28 --epochs 2 --least 0",
    "--count 340": "--count 3",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    h5py = pytest.importorskip("h5py")
    made = tmp_path_factory.mktemp("docs")
    image = PatternDataset("atoms", 1, 256, groups=("p4m",), cells=(150, 200)).batch([0])[0].mean(0).numpy()
    byte = (image * 255).round().astype(np.uint8)
    (made / "scans" / "deep").mkdir(parents=True)
    for name in ("micrograph.png", "field.png", "scans/a.png", "scans/deep/b.png"):
        Image.fromarray(byte).save(made / name)
    tifffile.imwrite(made / "stack.tif", np.stack([byte, byte[::-1]]), photometric="minisblack")
    (made / "detector.raw").write_bytes(byte.astype("<u2").tobytes())
    with h5py.File(made / "scan.h5", "w") as file:
        file["entry/data"] = byte
    bar = np.full((30, 256), 255, np.uint8)
    bar[8:20, 10:90:3] = 0
    Image.fromarray(np.concatenate([byte, bar])).save(made / "sem.png")
    Image.fromarray(np.pad(np.zeros((276, 256), np.uint8), ((10, 0), (0, 0)), constant_values=255)).save(
        made / "mask.png"
    )
    (made / "examples").mkdir()
    shutil.copy(root / "examples" / "frieze.yaml", made / "examples")
    return made


def test_micrographs(page: Open, folder: Path, shell: Open) -> None:
    commands, there = page("docs/micrographs.md").commands, shell(folder)
    assert len(commands) >= 10
    for command in commands:
        out = there.run(command)
        assert "p4m" in out or "images answered" in out, command
        for name in re.findall(r"--(?:csv|jsonl) (\S+)", command):
            assert len((folder / name).read_text(encoding="utf-8").splitlines()) >= 1
    assert "cut: info bar, 30 px at the bottom" in there.run("hier predict sem.png")
    for code in page("docs/micrographs.md").python:
        exec(code, {})


def test_what_bars_change_is_what_was_measured(page: Open, root: Path) -> None:
    """Its figures are those of `docs/bars.jsonl`, as `benchmarks/bars.py` sums them up."""
    sys.path.insert(0, str(root / "benchmarks"))
    try:
        from bars import STYLES, summary
    finally:
        sys.path.pop(0)
    rows = [json.loads(line) for line in (root / "docs" / "bars.jsonl").read_text(encoding="utf-8").splitlines()]
    found, text = summary(rows), page("docs/micrographs.md").text
    assert len({row["index"] for row in rows}) == len(rows) == 200
    assert f"first {found['kept']} (" in text
    assert {row["style"] for row in rows} == set(STYLES)
    for name in ("as without", "as without, bars kept", "right", "right without"):
        assert f"| {name} | {100 * found[name]:.1f} % |" in text, name
    for name in ("clean patterns cut", "not found"):
        assert f"| {name} | {found[name]} |" in text, name


@pytest.mark.parametrize("name", OTHERS)
def test_other_pages(name: str, page: Open, folder: Path, shell: Open) -> None:
    there = shell(folder, SMALLER)
    assert page(f"docs/{name}.md").commands
    for command in page(f"docs/{name}.md").commands:
        assert there.run(command).strip(), command
        for file in re.findall(r"--(?:out|report) (\S+)", command):
            assert (folder / file).stat().st_size > 1000
    for code in page(f"docs/{name}.md").python:
        exec(code, {})


def test_the_tree_of_the_page_is_that_of_the_example(page: Open, root: Path) -> None:
    (block,) = re.findall(r"^```yaml\n(.*?)^```", page("docs/own-tree.md").text, re.S | re.M)
    shown, used = parse_spec(block, "page"), load_tree(root / "examples" / "frieze.yaml").to_spec()
    assert outline(shown.root) == outline(used.root)


def outline(node: NodeSpec | str) -> object:
    """A node without its question, and all below it."""
    if isinstance(node, str):
        return node
    return node.name, node.level, {choice: outline(child) for choice, child in node.children.items()}
