"""The commands of the documentation run, as they stand there, on small images of the names they use."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hier.datasets import PatternDataset
from PIL import Image

from hier.cli import main

PAGE = Path(__file__).parent.parent / "docs" / "micrographs.md"


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
    return made


def test_the_page_has_commands() -> None:
    assert len(commands(PAGE)) >= 10


@pytest.mark.skipif(os.name == "nt", reason="the commands are for a POSIX shell")
@pytest.mark.parametrize("command", commands(PAGE))
def test_commands_run_as_they_stand_there(
    command: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
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
    assert "p4m" in out or "images answered" in out
    for name in re.findall(r"--(?:csv|jsonl) (\S+)", command):
        assert len((folder / name).read_text(encoding="utf-8").splitlines()) >= 1
