"""Folders with a labels.csv: counts against a tally made by hand, and tables that cannot be used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hier.datasets import PatternDataset
from hier.hierarchy import GROUP_NAMES, HierError
from hier.models.classifier import Classifier
from hier.pipelines.answering.predict import Predictor
from hier.pipelines.measuring.labelled import evaluate_table, read_table
from PIL import Image


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier.load()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five patterns, a grey slope in two sizes, and one file that is no image."""
    dataset = PatternDataset("atoms", seed=10**9, size=128)
    for i, image in enumerate(dataset.batch(range(8, 13))):
        _save(image, tmp_path / "sub" / f"{dataset.label(8 + i)}.png")
    slope = torch.linspace(0, 1, 128).expand(3, 128, 128)
    _save(slope, tmp_path / "slope.png")
    _save(slope[:, :96], tmp_path / "low slope.png")
    (tmp_path / "bad.png").write_text("no image")
    return tmp_path


def _save(image: torch.Tensor, file: Path) -> None:
    file.parent.mkdir(exist_ok=True)
    Image.fromarray((255 * image).round().byte().permute(1, 2, 0).contiguous().numpy()).save(file)


def table(folder: Path, *lines: str, header: str = "file,acceptable") -> Path:
    (folder / "labels.csv").write_text("\n".join([header, *lines]), encoding="utf-8")
    return folder


def test_every_image_is_counted_once_under_the_right_heading(classifier: Classifier, folder: Path) -> None:
    names = sorted(f"sub/{p.name}" for p in (folder / "sub").iterdir())
    truth = {p.file: p for p in Predictor(classifier).predict([folder / name for name in names])}
    said = {name: truth[str(folder / name)] for name in names}
    assert all(p.periodic for p in said.values())
    other = {name: next(g for g in GROUP_NAMES if g != p.group) for name, p in said.items()}
    rows = [
        f'{names[0]},{said[names[0]].group},sure,atoms,"a note, with a comma"',
        f"{names[1]},{other[names[1]]} | {said[names[1]].group},likely,atoms,",
        f"{names[2]},{other[names[2]]},sure,atoms,",
        f"{names[3]},none,sure,atoms,",  # a pattern is found where none is right: wrong, not refused
        f"{names[4]},{other[names[4]]}|none,sure,atoms",
        "",
        "slope.png,none,sure,slope,",
        "low slope.png,p1|P 2,likely,slope,",
        "bad.png,p1,sure,slope,",
        "missing.png,none,sure,,",
    ]
    table(folder, *rows, header="file,acceptable,sure,kind,note")
    report = evaluate_table(classifier, folder, read_table(folder, classifier.labels))
    found = report.as_dict()
    assert [found[k] for k in ("count", "right", "wrong", "refused", "unread")] == [9, 3, 3, 1, 2]
    assert found["share"] == pytest.approx(3 / 9)
    assert found["sure"] == {
        "sure": {"count": 7, "right": 2, "wrong": 3, "refused": 0, "unread": 2},
        "likely": {"count": 2, "right": 1, "wrong": 0, "refused": 1, "unread": 0},
    }
    assert {kind: t["count"] for kind, t in found["kind"].items()} == {"atoms": 5, "slope": 3, "": 1}
    assert [m["file"] for m in report.mistakes] == names[2:]
    for m in report.mistakes:
        assert m["answer"] == said[m["file"]].group
        assert m["probability"] == pytest.approx(said[m["file"]].probability, abs=1e-4)
    assert report.mistakes[1]["acceptable"] == ["none"]
    assert [r["file"] for r in report.refusals] == ["low slope.png"]
    assert report.refusals[0]["acceptable"] == ["p1", "p2"]
    assert report.refusals[0]["periodic_probability"] < 0.5
    certain = [name for name in names if said[name].probability >= 0.99]
    assert report.confident == {"count": len(certain), "right": sum(name in names[:2] for name in certain)}
    assert set(report.errors) == {str(folder / "bad.png"), str(folder / "missing.png")}
    assert "no such file" in report.errors[str(folder / "missing.png")].lower()
    json.dumps(found)


def test_names_of_groups_are_understood_as_elsewhere(folder: Path) -> None:
    table(folder, "a.png,p2mm|P4M|p 6 m m|None|pmm", "b.png,p31m")
    rows = read_table(folder, GROUP_NAMES)
    assert [row.acceptable for row in rows] == [("pmm", "p4m", "p6m", "none"), ("p31m",)]


def test_a_table_with_a_byte_order_mark_and_windows_lines_is_read(folder: Path) -> None:
    (folder / "labels.csv").write_bytes("\ufeffFile,Acceptable\r\né.png,p1\r\n".encode())
    assert [(row.name, row.acceptable) for row in read_table(folder, GROUP_NAMES)] == [("é.png", ("p1",))]


def test_labels_of_other_trees_are_taken_as_they_are(folder: Path) -> None:
    table(folder, "a.png,p1m1|none")
    assert read_table(folder, ("p1m1", "p11g"))[0].acceptable == ("p1m1", "none")
    table(folder, "a.png,pm")
    with pytest.raises(HierError, match=r"row 2, .*'pm'"):
        read_table(folder, ("p1m1", "p11g"))


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"", ("lacks", "file and acceptable", "it has: none")),
        (b"file,acceptable\n\n,\n", ("no rows", "file, acceptable")),
        (b"name,acceptable\na.png,p1\n", ("lacks the column file", "name, acceptable")),
        (b"file;acceptable\na.png;p1\n", ("lacks", "file;acceptable")),
        (b"file,acceptable\na.png,p1\nb.png,p4|p5\n", ("row 3", "b.png", "'p5'", "did you mean", "none")),
        (b"file,acceptable\na.png,xyz\n", ("row 2", "'xyz'", "known: p1, p2", "none")),
        (b"file,acceptable\na.png,|\n", ("row 2", "a.png", "no acceptable group", "none")),
        (b"file,acceptable\na.png\n", ("row 2", "a.png", "no acceptable group")),
        (b"file,acceptable\n,p1\n", ("row 2", "no file")),
        (b"file,acceptable\na.png,p1,p2\n", ("row 2", "3 values for 2 columns")),
        (b"file,acceptable\na.png,p1\na.png,p2\n", ("row 3", "a.png has row 2 already")),
        (b"file,acceptable\n\xe9.png,p1\n", ("row 2", "UTF-8")),
        (b'file,acceptable\n"a.png,p1\n', ("row", "quotes")),
    ],
)
def test_tables_that_cannot_be_used_are_told_in_one_line(
    tmp_path: Path, content: bytes, parts: tuple[str, ...]
) -> None:
    (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(HierError) as told:
        read_table(tmp_path, GROUP_NAMES)
    message = str(told.value)
    assert "\n" not in message
    for part in (str(tmp_path / "labels.csv"), *parts):
        assert part in message
