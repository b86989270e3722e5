"""`--range`: parts of one export made by several machines at a time, and parts of a folder of images."""

from __future__ import annotations

import csv
import filecmp
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hier.datasets import PatternDataset
from hier.pipelines.generating.export import Export, export, verify
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hier.cli.app import main

DATASET = PatternDataset("atoms", 5, 32, ("p4", "pg"), cells=(4, 9))
GENERATE = ("generate", "--source", "atoms", "--seed", "5", "--size", "32", "--groups", "p4,pg", "--cells", "4-9",
            "--count", "20", "--shard", "3", "--out", "set")  # fmt: skip
HIER = (sys.executable, "-c", "from hier.cli.app import main; main()")


@pytest.fixture
def hier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """`hier ARGUMENTS` in a folder of its own: what it prints, after the end that is expected."""
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, code: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["hier", *map(str, arguments)])
        capfd.readouterr()
        try:
            main()
            ended = 0
        except SystemExit as stop:
            ended = int(stop.code or 0)
        out, err = capfd.readouterr()
        assert ended == code, err
        return out if code == 0 else err

    return run


@given(st.integers(1, 300), st.integers(1, 20), st.integers(1, 40))
def test_every_shard_is_in_exactly_one_part(count: int, size: int, parts: int) -> None:
    whole = Export(DATASET, count, "npy", Path("out"), shard_size=size)
    shares = [Export(DATASET, count, "npy", Path("out"), shard_size=size, part=(k + 1, parts)) for k in range(parts)]
    assert [k for share in shares for k in share.shards] == list(whole.shards)
    assert sum(share.images for share in shares) == count == whole.images
    sizes = [len(share.shards) for share in shares]
    assert max(sizes) - min(sizes) <= 1


def test_parts_that_are_made_at_the_same_time_are_one_export(hier: Callable[..., str], tmp_path: Path) -> None:
    environment = os.environ | {"TERM": "dumb", "OMP_NUM_THREADS": "1"}
    parts = [subprocess.Popen([*HIER, *GENERATE, "--range", f"{k}/3", "--json"], stdout=subprocess.PIPE,
                              env=environment, cwd=tmp_path) for k in (3, 1, 2)]  # fmt: skip
    told = [json.loads(part.communicate(timeout=120)[0]) for part in parts]
    assert [part.returncode for part in parts] == [0, 0, 0]
    assert all(t["complete"] for t in told)
    assert [t["part"] for t in told] == ["3/3", "1/3", "2/3"]
    assert sum(t["made"] for t in told) == 20
    assert "20 of 20 images match the manifest" in hier(*GENERATE, "--verify")
    assert "8 of 8 images of part 3/3 match" in hier(*GENERATE, "--verify", "--range", "3/3")
    assert "complete, all 20 images are there" in hier(*GENERATE)
    hier(*GENERATE, "--out", "whole")
    images = [p.relative_to("whole") for p in Path("whole").rglob("*.png")]
    assert len(images) == 20
    assert filecmp.cmpfiles("set", "whole", images, shallow=False)[0] == images


def test_a_whole_run_completes_what_parts_left_out_and_part_of_another_number_too(hier: Callable[..., str]) -> None:
    assert "6 images of part 1/3, 6 made" in hier(*GENERATE, "--range", "1/3")
    assert "11 images of part 2/2, 11 made" in hier(*GENERATE, "--range", "2/2")
    assert "20 images, 3 made" in hier(*GENERATE)
    assert "20 of 20" in hier(*GENERATE, "--verify")
    assert "0 images of part 1/99" in hier(*GENERATE, "--range", "1/99")
    assert "holds another export (seed 5 there, 6 asked for)" in hier(
        *GENERATE, "--seed", 6, "--range", "1/3", code=2
    ).replace("\n", " ")


def test_a_part_that_was_cut_off_is_taken_up(tmp_path: Path) -> None:
    part = Export(DATASET, 12, "npy", tmp_path / "set", shard_size=2, part=(2, 2))
    export(part)
    manifest = tmp_path / "set" / "manifest-2-of-2.jsonl"
    lines = manifest.read_bytes().splitlines(keepends=True)
    manifest.write_bytes(b"".join(lines[:-1]) + lines[-1][:9])
    assert verify(part).found == 4
    again = export(part)
    assert (again.found, again.made) == (4, 2)
    assert verify(part).complete


def test_a_folder_of_other_files_is_not_a_part(hier: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "thesis.tex").write_text("")
    assert "holds other files" in hier(*GENERATE, "--range", "1/3", code=2)
    assert [p.name for p in (tmp_path / "set").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("text", ["65/64", "0/64", "x/y", "3", "1/0", "-1/2", "1/2/3", ""])
def test_what_is_no_part_is_one_line(hier: Callable[..., str], text: str) -> None:
    for command in (GENERATE, ("predict", "a.png")):
        (line,) = hier(*command, f"--range={text}", code=2).splitlines()
        assert line == f"hier: --range {text}: give a part and the number of parts, from 1/64 to 64/64"


def test_parts_of_a_folder_have_every_image_once(hier: Callable[..., str], card_path: Path, tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    for k, image in enumerate((DATASET.batch(range(6)) * 255).byte().permute(0, 2, 3, 1).numpy()):
        Image.fromarray(image).save(tmp_path / "scans" / f"{k}.png")
    found = []
    for k in range(1, 4):
        hier("predict", "scans", "--model", card_path, "--range", f"{k}/3", "--csv", f"{k}.csv")
        with Path(f"{k}.csv").open(encoding="utf-8") as file:
            found += [row["file"] for row in csv.DictReader(file)]
    hier("predict", "scans/0.png", "--model", card_path, "--range", "1/999999", "--csv", "empty.csv")
    assert len(Path("empty.csv").read_text(encoding="utf-8").splitlines()) == 1
    assert sorted(found) == sorted(str(p.relative_to(tmp_path)) for p in (tmp_path / "scans").iterdir())
