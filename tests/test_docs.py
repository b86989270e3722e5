"""The commands of the documentation run, as they stand there, on small images of the names they use."""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hier.datasets import PatternDataset
from hier.hierarchy import NodeSpec, load_tree, parse_spec
from PIL import Image

from hier.cli import main

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "micrographs.md"
OTHERS = [ROOT / "docs" / f"{name}.md" for name in ("hierarchy", "how-it-decides", "own-tree", "limits")]


def commands(page: Path) -> list[str]:
    """Lines of the ``sh`` blocks of a page that call `hier`."""
    blocks = re.findall(r"^```(?:sh|console)\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M)
    return [line for block in blocks for line in block.splitlines() if re.search(r"\bhier ", line)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
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
    (made / "examples").mkdir()
    shutil.copy(ROOT / "examples" / "frieze.yaml", made / "examples")
    return made


def test_the_page_has_commands() -> None:
    assert len(commands(PAGE)) >= 10


def run(command: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command prints. It must end well, and without a word of complaint."""
    monkeypatch.chdir(folder)
    *before, last = command.split(" | ")
    if before:
        listed = subprocess.run(" | ".join(before), shell=True, check=True, capture_output=True, text=True).stdout
        monkeypatch.setattr(sys, "stdin", io.StringIO(listed))
    monkeypatch.setattr(sys, "argv", shlex.split(last))
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    assert not ended.value.code, err
    assert "hier: " not in err
    return out


@pytest.mark.skipif(os.name == "nt", reason="the commands are for a POSIX shell")
@pytest.mark.parametrize("command", commands(PAGE))
def test_commands_run_as_they_stand_there(
    command: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = run(command, folder, monkeypatch, capsys)
    assert "p4m" in out or "images answered" in out
    for name in re.findall(r"--(?:csv|jsonl) (\S+)", command):
        assert len((folder / name).read_text(encoding="utf-8").splitlines()) >= 1


@pytest.mark.parametrize("command", dict.fromkeys(line for page in OTHERS for line in commands(page)))
def test_commands_of_other_pages_run(
    command: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command, folder, monkeypatch, capsys).strip()
    for name in re.findall(r"--(?:out|report) (\S+)", command):
        assert (folder / name).stat().st_size > 1000


@pytest.mark.parametrize("page", OTHERS, ids=lambda page: page.stem)
def test_links_pictures_and_python_of_other_pages(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert target.startswith("https://") or (page.parent / target).exists(), target
    for name in re.findall(r"python ((?:docs|examples)/\w+\.py)", text):
        assert (ROOT / name).exists(), name
    monkeypatch.chdir(folder)
    for code in re.findall(r"^```python\n(.*?)^```", text, re.S | re.M):
        exec(code, {})


def test_the_tree_of_the_page_is_that_of_the_example() -> None:
    (block,) = re.findall(
        r"^```yaml\n(.*?)^```", (ROOT / "docs" / "own-tree.md").read_text(encoding="utf-8"), re.S | re.M
    )
    shown, used = parse_spec(block, "page"), load_tree(ROOT / "examples" / "frieze.yaml").to_spec()
    assert outline(shown.root) == outline(used.root)


def outline(node: NodeSpec | str) -> object:
    """A node without its question, and all below it."""
    if isinstance(node, str):
        return node
    return node.name, node.level, {choice: outline(child) for choice, child in node.children.items()}
