"""Names of files that hold anything, and outputs that can show little."""

from __future__ import annotations

import csv
import json
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from io import BytesIO, TextIOWrapper
from pathlib import Path

import numpy as np
import pytest
import torch
from hier.pipelines.answering.rows import name_of
from PIL import Image

from hier.cli.app import main

NAMES = [
    b"plain.png", b"caf\xe9.png", b"\xff\xfe.png", "Größe °.png".encode(), "電子.png".encode(), b"a b,c;d.png",
    b'quo"te\'.png', b"[bold]x.png", b"tab\there.png", b"back\\slash.png", b"-dash.png", b"100%{name}.png",
]  # fmt: skip


Told = tuple[int, bytes, str]


@pytest.fixture
def hier(images: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Told]:
    """`hier ARGUMENTS` beside the folder of images, with an output of that encoding."""
    monkeypatch.chdir(images.parent)
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments: object, encoding: str = "utf-8", given: bytes = b"") -> Told:
        out, err = TextIOWrapper(BytesIO(), encoding), TextIOWrapper(BytesIO(), encoding, "backslashreplace")
        code = 0
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["hier", *map(str, arguments)])
            patch.setattr(sys, "stdin", TextIOWrapper(BytesIO(given), "utf-8"))
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            try:
                main()
            except SystemExit as stop:
                code = int(stop.code or 0)
            out.flush()
            err.flush()
        return code, out.buffer.getvalue(), err.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]

    return run


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in NAMES:
        with open(os.path.join(os.fsencode(folder), name), "wb") as file:
            Image.fromarray(rng.integers(0, 255, (40, 40), dtype=np.uint8)).save(file, "png")
    return folder


def test_a_dozen_odd_names_in_every_kind_of_output(hier: Callable[..., Told], card_path: Path) -> None:
    model = ("--model", card_path, "--device", "cpu")
    tables = ("--csv", "t.csv", "--jsonl", "t.jsonl")
    want = sorted(os.fsdecode(b"in/" + name) for name in NAMES)
    given = b"\n".join(b"in/" + name for name in NAMES)
    code, out, told = hier("predict", "-", "--json", *tables, *model, given=given)
    assert code == 0, told
    assert sorted(row["file"] for row in json.loads(out)) == want
    with Path("t.csv").open(encoding="utf-8", newline="") as file:
        assert sorted(name_of(row["file"]) for row in csv.DictReader(file)) == want
    with Path("t.jsonl").open(encoding="utf-8") as file:
        assert sorted(json.loads(line)["file"] for line in file) == want
    code, out, told = hier("predict", "in", *tables, *model)
    assert out.startswith(b"0 images answered, 12 already there"), told
    assert hier("predict", want[1], "--report", "r.html", *model)[0] == 0
    assert want[1].encode("utf-8", "backslashreplace") in Path("r.html").read_bytes()


def test_a_panel_is_printed_in_what_the_output_has(hier: Callable[..., Told], card_path: Path) -> None:
    code, out, told = hier(
        "predict", "in", "nowhere-電.png", "--model", card_path, "--device", "cpu", encoding="cp1252"
    )
    assert (code, "nowhere-\\u96fb.png: no such file" in told) == (2, True), told
    shown = out.decode("cp1252")
    assert shown.count("+- in/") == len(NAMES)
    assert "\\u96fb\\u5b50.png" in shown
    assert "gamma = " in shown
    assert "\\u2588" not in shown  # of the bars


@pytest.mark.slow
@pytest.mark.parametrize("variables", [{"PYTHONIOENCODING": "cp1252"}, {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}])
def test_the_command_itself_ends_without_a_traceback(images: Path, card_path: Path, variables: dict[str, str]) -> None:
    command = [sys.executable, "-m", "hier", "predict", "in", "--model", card_path, "--device", "cpu"]
    done = subprocess.run(command, cwd=images.parent, env=os.environ | variables, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b"+- in/") == len(NAMES)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
@pytest.mark.parametrize("command", [["--help"], ["predict", "--help"], ["tree"], ["benchmark", "--list"], ["map"]])
def test_every_command_shows_itself_in_any_encoding(
    command: list[str], encoding: str, hier: Callable[..., Told], card_path: Path
) -> None:
    if command == ["map"]:
        x = np.arange(96)
        Image.fromarray((100 * np.cos(x / 2) + 120).astype(np.uint8)[:, None] * np.ones(96, np.uint8)).save("m.png")
        command = ["map", "m.png", "--window", "48", "--model", str(card_path), "--device", "cpu"]
    code, out, told = hier(*command, encoding=encoding)
    assert (code, told) == (0, ""), told
    assert "\\u" not in out.decode(encoding)


def test_logs_and_warnings_are_one_line_that_steers_nothing(hier: Callable[..., Told]) -> None:
    assert hier("--version")[0] == 0
    told = TextIOWrapper(BytesIO(), "ascii")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", told)
        logging.Logger("alone").warning("%s is damaged", "a\x1b[2J\nhier: b")
        told.flush()
    assert told.buffer.getvalue() == b"hier: a\\x1b[2J\\nhier: b is damaged\n"  # type: ignore[attr-defined]
    assert warnings.formatwarning("c\nd", UserWarning, "x.py", 1) == "hier: c\\nd\n"


def test_an_option_that_is_none_is_shown_without_its_control_characters(hier: Callable[..., Told]) -> None:
    code, _, told = hier("predict", "--\x1b[2Jx\nhier: y")
    assert (code, "\x1b" in told, "\nhier: y" in told) == (2, False, False)
    assert "No such option: --\\x1b[2Jx" in told


def test_a_tree_of_hostile_labels_is_refused_and_questions_are_one_line(hier: Callable[..., Told]) -> None:
    text = "name: t\nroot: {{name: a, level: l, question: {}, children: {{x: p1, y: {}}}}}\n"
    Path("t.yaml").write_text(text.format('"is it\\nso?"', '"p\\e[2J"'))
    code, _, told = hier("tree", "t.yaml")
    assert (code, told.count("\n"), "cannot be shown" in told, "\x1b" in told) == (2, 1, True, False), told
    Path("t.yaml").write_text(text.format('"is it\\nso?"', "p2"))
    assert b"is it so?" in hier("tree", "t.yaml")[1]


def test_an_overlay_bears_any_name(hier: Callable[..., Told]) -> None:
    from hier.hierarchy import group
    from hier.pipelines.drawing.overlay import draw, encoded
    from hier.pipelines.drawing.symbols import Frame

    frame = Frame(np.eye(2) * 16, np.zeros(2))
    picture = draw(torch.zeros(3, 48, 48), group("p4"), frame, ["p4", "a lattice", os.fsdecode(b"caf\xe9 $x$ $.png")])
    assert rb"caf\udce9 $x$ $.png" in encoded(picture, ".svg")
