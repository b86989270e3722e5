"""Many images: every name is found, every image has one row, and nothing is done twice."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hier.pipelines.answering.predict import Predictor
from hier.pipelines.reading.names import image_names
from PIL import Image

from hier.cli.app import main

Told = tuple[int, str, str]


@pytest.fixture
def hier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Told]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*arguments: object) -> Told:
        monkeypatch.setattr(sys, "argv", ["hier", *map(str, arguments)])
        capfd.readouterr()
        try:
            main()
        except SystemExit as stop:
            return int(stop.code or 0), *capfd.readouterr()
        return 0, *capfd.readouterr()

    return run


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    (folder / "deep").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.tif", "deep/c.PNG"):
        Image.fromarray(rng.integers(0, 255, (40, 40), dtype=np.uint8)).save(folder / name)
    (folder / "broken.png").write_text("no image")
    (folder / "notes.txt").write_text("no image either")
    return folder


ALL = ["scans/a.png", "scans/b.tif", "scans/broken.png", "scans/deep/c.PNG"]


def test_files_folders_patterns_and_lists_name_images(scans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(scans.parent)
    (scans / "[x].png").touch()
    for given, listed, want in (
        (["scans"], "", ["scans/[x].png", *ALL]),
        (["scans/*.png"], "", ["scans/[x].png", "scans/a.png", "scans/broken.png"]),
        (["scans/**/*.PNG"], "", ["scans/deep/c.PNG"]),
        (["scans/[x].png", "scans/[ab].*"], "", ["scans/[x].png", "scans/a.png", "scans/b.tif"]),
        (["-"], "scans/b.tif\n\n  \nscans/deep\r\nnone.png", ["scans/b.tif", "scans/deep/c.PNG", "none.png"]),
        (["none*.png", "none.png", "a\0b", ""], "", ["none*.png", "none.png", "a\0b", ""]),
        (["a.h5::/x[0]"], "", ["a.h5::/x[0]"]),
    ):
        assert list(image_names(given, io.StringIO(listed))) == want
    (scans / "p.raw").touch()
    assert "scans/p.raw" in image_names(["scans"], io.StringIO(), bare=True)
    assert "scans/p.raw" not in image_names(["scans"], io.StringIO())


def rows_of(path: str) -> list[dict[str, Any]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file)) if path.endswith("csv") else [json.loads(line) for line in file]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_table_has_a_row_for_every_image_and_resumes(
    kind: str, hier: Callable[..., Told], scans: Path, card_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = f"out.{kind}"
    command = ("predict", "scans", f"--{kind}", table, "--model", card_path, "--device", "cpu")
    code, out, err = hier(*command)
    assert code == 2
    assert f"3 images answered, 1 could not be used: {table}" in out
    assert "scans/broken.png" in err
    first = rows_of(table)
    assert [row["file"] for row in first] == ALL
    assert [bool(row.get("error")) for row in first] == [False, False, True, False]

    asked: list[int] = []
    each = Predictor.predict_each

    def counted(self: Predictor, images: Any, *rest: Any, **more: Any) -> Any:
        for result in each(self, images, *rest, **more):
            asked.append(1)
            yield result

    monkeypatch.setattr(Predictor, "predict_each", counted)
    code, out, _ = hier(*command)
    assert (code, len(asked)) == (2, 1)  # what failed is tried again
    assert "3 already there" in out
    assert [row["file"] for row in rows_of(table)].count("scans/broken.png") == 1

    shutil.copy(scans / "a.png", scans / "broken.png")
    os.utime(scans / "b.tif", ns=(1, 1))
    code, _, _ = hier(*command)
    assert (code, len(asked)) == (0, 3)
    mended = rows_of(table)
    assert sorted(row["file"] for row in mended) == ALL
    assert not any(row.get("error") for row in mended)
    assert hier(*command)[1].startswith("0 images answered, 4 already there")

    raw = Path(table).read_text()
    Path(table).write_text(raw[:-20])  # as an interruption while writing leaves it
    assert hier(*command)[0] == 0
    assert sorted(row["file"] for row in rows_of(table)) == ALL
    assert len(asked) == 4


def test_an_interrupted_run_keeps_what_was_answered(
    hier: Callable[..., Told], scans: Path, card_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hier.pipelines.answering.ahead as reader
    import hier.pipelines.answering.predict as module

    monkeypatch.setattr(module, "AHEAD", 2)
    read = reader.read

    def interrupted(image: Any, reading: Any) -> Any:
        if "deep" in str(image):
            raise KeyboardInterrupt
        return read(image, reading)

    command = ("predict", "scans", "--csv", "out.csv", "--model", card_path, "--device", "cpu")
    with monkeypatch.context() as patch:
        patch.setattr(reader, "read", interrupted)
        assert hier(*command)[0] == 130
    assert [row["file"] for row in rows_of("out.csv")] == ALL[:2]
    assert "1 images answered, 2 already there, 1 could not be used" in hier(*command)[1]


def test_rows_of_other_settings_are_not_mixed(hier: Callable[..., Told], scans: Path, card_path: Path) -> None:
    command = ("predict", "scans/a.png", "--csv", "out.csv", "--device", "cpu", "--model", card_path)
    assert hier(*command)[0] == 0
    code, _, err = hier(*command, "--pixel-size", "0.5nm")
    assert code == 2
    assert "another model or other settings" in err
    assert "--restart" in err
    assert hier(*command, "--pixel-size", "0.5nm", "--restart")[0] == 0
    (row,) = rows_of("out.csv")
    assert float(row["a_length"]) == pytest.approx(0.5 * float(row["a"]))
    assert row["unit"] == "nm"
    assert sum(float(row[f"p({g})"]) for g in ("p1", "p6m", "cm")) <= 1.001


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "x,y\n1,2\n", "other columns"),
        ("b.jsonl", "hello\n", "line 1, column 1 is not JSON"),
        ("c.jsonl", "[1]\n", "line 1 is not an object"),
        ("d.jsonl", '{"file": "a.png"}\n', "rows have no bytes"),
        ("nowhere/e.csv", None, "cannot write nowhere/e.csv"),
    ],
)
def test_files_that_are_no_tables_are_left_alone(
    name: str, text: str | None, message: str, hier: Callable[..., Told], scans: Path, card_path: Path
) -> None:
    if text is not None:
        Path(name).write_text(text)
    option = "--csv" if name.endswith("csv") else "--jsonl"
    code, _, err = hier("predict", "scans", option, name, "--model", card_path, "--device", "cpu")
    assert code == 2
    assert message in err
    assert "Traceback" not in err
    assert text is None or Path(name).read_text() == text


def test_both_tables_and_json_come_from_one_pass(hier: Callable[..., Told], scans: Path, card_path: Path) -> None:
    options = ("--csv", "t.csv", "--jsonl", "t.jsonl", "--json", "--model", card_path, "--device", "cpu")
    code, out, _ = hier("predict", "scans/*.tif", "scans/a.png", *options)
    assert code == 0
    told = json.loads(out)
    assert [row["file"] for row in told] == ["scans/b.tif", "scans/a.png"]
    for row, line, sheet in zip(told, rows_of("t.jsonl"), rows_of("t.csv"), strict=True):
        assert row.items() <= line.items()
        assert sheet["group"] == (row["group"] or "")
    Path("t.csv").unlink()
    assert json.loads(hier("predict", "scans", *options)[1])
    assert len(rows_of("t.jsonl")) == len(rows_of("t.csv")) == 4


def test_an_empty_list_is_an_error(hier: Callable[..., Told], card_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    code, _, err = hier("predict", "-", "--model", card_path, "--device", "cpu")
    assert code == 2
    assert "no image was named" in err


def test_no_more_images_are_held_than_share_a_batch(card_path: Path) -> None:
    from hier.pipelines.answering.predict import AHEAD
    from hier.pipelines.loading import load

    taken = 0

    def endless() -> Any:
        nonlocal taken
        while True:
            taken += 1
            yield np.zeros((40, 40))

    results = load(card_path).predict_each(endless())
    for _ in range(3):
        next(results)
    assert taken == AHEAD


REWRITTEN = {
    "semicolons": (lambda t: t.replace(",", ";"), "line 1 names other columns: column 1 is 'file;group;"),
    "byte order mark": (lambda t: "\ufeff" + t, "line 1 names other columns: column 1 is '\\ufefffile' instead"),
    "a column less": (lambda t: t.replace(",p(p2)", "", 1), "line 2 has"),
    "columns in another order": (lambda t: t.replace("group,statement", "statement,group"), "column 2 is 'statement'"),
    "a large number": (
        lambda t: re.sub(r",\d{19},", ",1.7E+18,", t), "line 2, column modified_ns: '1.7E+18' is not a whole number",
    ),
    "an empty line": (lambda t: t.replace("\n", "\n\n", 1), "line 2 has 0 cells"),
    "a quote": (lambda t: t.replace("\n", '\n"', 1), "line 2 has 36 cells instead of 37"),
}  # fmt: skip


@pytest.mark.parametrize("how", REWRITTEN)
def test_a_table_that_a_spreadsheet_has_rewritten_is_told_of_by_line_and_column(
    how: str, hier: Callable[..., Told], scans: Path, card_path: Path
) -> None:
    command = ("predict", "scans", "--csv", "out.csv", "--model", card_path, "--device", "cpu")
    hier(*command)
    change, message = REWRITTEN[how]
    Path("out.csv").write_text(changed := change(Path("out.csv").read_text()), encoding="utf-8")
    code, _, err = hier(*command)
    assert (code, message in err, err.count("\n")) == (2, True, 1), err
    assert Path("out.csv").read_text(encoding="utf-8") == changed
    assert hier(*command, "--force")[1].startswith("3 images answered")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"file": ["a.png"]}, "line 1, column file: \"['a.png']\" is not a text"),
        ({"file": None}, "line 1, column file: 'None' is not a text"),
        ({"bytes": "12"}, "line 1, column bytes: '12' is not a whole number"),
        ({"bytes": float("nan")}, "line 1, column bytes: 'nan' is not a whole number"),
        ({"modified_ns": None}, "line 1, column modified_ns: 'None' is not a whole number"),
        ({"bytes": None}, "line 1, column modified_ns"),
        ({"run": 7}, "line 1, column run: '7' is not a text"),
    ],
)
def test_rows_of_other_types_are_told_of(
    change: dict[str, Any], message: str, hier: Callable[..., Told], scans: Path, card_path: Path
) -> None:
    command = ("predict", "scans/a.png", "--jsonl", "o.jsonl", "--model", card_path, "--device", "cpu")
    assert hier(*command)[0] == 0
    row = json.loads(Path("o.jsonl").read_text())
    Path("o.jsonl").write_text(json.dumps(row | change) + "\n")
    code, _, err = hier(*command)
    assert (code, message in err, err.count("\n")) == (2, True, 1), err
    Path("o.jsonl").write_text('{"file": ' + "[" * 20000 + "\n")
    assert "line 1" in hier(*command)[2]
