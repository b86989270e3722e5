"""What a user has a say in: a lattice, a group judged as if, an origin; in Python and on the command line."""

from __future__ import annotations

import csv
import json
import pickle
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hier.datasets import Pattern, PatternDataset
from hier.hierarchy import GROUP_NAMES, HierError
from hier.hierarchy.placements import settings
from hier.models.placing.origins import allowed_origin
from hier.pipelines.answering.exports import group_cell
from hier.pipelines.answering.results import Prediction
from PIL import Image
from torch import Tensor

import hier
from hier.cli.app import main


def drawn(name: str, index: int = 0) -> tuple[Pattern, Tensor]:
    """A pattern of 192 px, and how it was drawn."""
    dataset = PatternDataset("photos", 5, 192, groups=(name,))
    patterns, _ = dataset.accepted([index])
    return patterns[0], dataset.finish(patterns, [index])[0]


def answer(image: Any, **asked: Any) -> Prediction:
    (found,) = hier.load(**asked).predict([image], keep=True)
    return found


def vectors(pattern: Pattern) -> list[tuple[float, float]]:
    """The sides of the conventional cell."""
    return [(float(x), float(y)) for x, y in pattern.basis.T]


def same_lattice(found: Prediction, pattern: Pattern, within: float) -> bool:
    """Whether the lattice of a prediction is that of the pattern, px."""
    from hier.pipelines.answering.table import lattice_of

    basis = lattice_of(found)
    assert basis is not None
    whole = np.linalg.solve(pattern.frame.basis, basis)
    ends = pattern.frame.basis @ np.round(whole) - basis
    return abs(abs(np.linalg.det(np.round(whole))) - 1) < 1e-9 and bool(np.abs(ends).max() < within)


@pytest.mark.parametrize("name", ["p2", "cmm", "p4g", "p6"])
def test_a_lattice_that_is_about_right_is_refined_to_the_right_one(name: str) -> None:
    pattern, image = drawn(name)
    about = [(1.02 * x + 0.3, 1.01 * y - 0.2) for x, y in vectors(pattern)]
    found = answer(image, basis=about)
    assert found.group == name
    assert same_lattice(found, pattern, 0.5)


def test_a_conventional_cell_that_is_centred_is_taken_for_centred() -> None:
    pattern, image = drawn("cmm")
    a, b = (np.array(v) for v in vectors(pattern))
    for basis in ([a, b], [(a + b) / 2, (a - b) / 2]):
        found = answer(image, basis=basis)
        assert found.group == "cmm"
        assert same_lattice(found, pattern, 0.5)


def test_a_lattice_as_it_is_stays_as_it_is() -> None:
    pattern, image = drawn("p2")
    (ax, ay), (bx, by) = vectors(pattern)
    given = [(ax + 0.7, ay), (bx, by - 0.6)]
    found = answer(image, basis=given, refine=False)
    assert found.asked is not None
    assert found.asked.lattice is not None
    shown = found.symmetry or found.tried
    assert shown is not None
    whole = np.linalg.solve(np.array(given).T, np.array([shown.a, shown.b]).T)
    assert np.allclose(whole, np.round(whole), atol=1e-3)
    assert not same_lattice(found, pattern, 0.5)


def test_without_a_say_nothing_changes() -> None:
    _, image = drawn("p4g")
    plain = answer(image)
    assert plain.asked is None
    assert plain.fares is None
    assert plain.shown_group == plain.group == "p4g"


def test_a_group_that_was_asked_for_is_drawn_and_told_from_the_answer() -> None:
    _, image = drawn("p4g")
    plain, found = answer(image), answer(image, group="p4m")
    assert found.group == plain.group == "p4g"
    assert found.probability == pytest.approx(plain.probability)
    assert found.symmetry is not None
    assert found.symmetry.group == found.shown_group == "p4m"
    (row,) = (row for row in plain.table if row.group == "p4m")
    assert found.fares is not None
    assert found.fares.verdict == row.verdict == "refused"
    assert found.fares.phase_deg == pytest.approx(row.phase_deg, abs=0.5)  # read again, for one of the two
    cell = group_cell(found)
    assert cell is not None
    assert cell.group == "p4m"


def test_a_group_whose_metric_the_lattice_has_not_says_which_strain_it_needs() -> None:
    oblong = (drawn("pmm", index) for index in range(20))
    image = next(x for p, x in oblong if abs(np.log(np.divide(*np.linalg.norm(p.basis, axis=0)))) > 0.2)
    found = answer(image, group="p6m")
    assert found.fares is not None
    assert found.fares.strain_percent > 5
    assert found.fares.reason == f"the lattice needs {found.fares.strain_percent:.1f} % strain"
    with pytest.raises(HierError, match="p6m, as asked: the lattice needs"):
        group_cell(found)


def test_an_image_without_a_pattern_has_no_group_as_asked() -> None:
    found = answer(torch.rand(3, 128, 128, generator=torch.Generator().manual_seed(1)), group="p4m")
    assert not found.periodic
    assert found.shown_group is None
    assert found.as_dict()["asked"]["fares"] is None


@pytest.mark.parametrize("name", GROUP_NAMES)
def test_an_allowed_origin_leaves_the_operations_as_they_are_and_lies_next_to_the_point(name: str) -> None:
    """Moved there, each operation is one of the group's again; no allowed origin of a fine grid is nearer."""
    rng = np.random.default_rng(3)
    basis = np.array([[20.0, -10.0], [0.0, 17.32]])
    for setting in settings(name)[:3]:
        origin, near = rng.random(2), 60 * rng.random(2) - 30
        found = allowed_origin(setting, origin, basis, near)
        shift = found - origin
        turned = [np.eye(2) - np.array(op.W) for op in setting.operations]
        assert all(np.allclose(t @ shift, np.round(t @ shift), atol=1e-6) for t in turned)
        middle = np.round(np.linalg.solve(basis, near) - origin)
        grid = np.array(list(product(np.arange(-24, 25) / 12, repeat=2))) + middle
        others = [at for at in grid if all(np.allclose(t @ at, np.round(t @ at), atol=1e-6) for t in turned)]
        nearest = min(np.linalg.norm(basis @ (origin + at) - near) for at in others)
        assert np.linalg.norm(basis @ found - near) <= nearest + 1e-6


def test_the_origin_moves_the_phases_and_the_amplitudes_stay() -> None:
    """With t the shift of the origin in the cell, F(h) turns by exp(-2 pi i h t)."""
    _, image = drawn("p4g")
    plain = group_cell(answer(image))
    assert plain is not None
    a, b = plain.basis.T
    point = plain.origin + 0.5 * a + 0.5 * b + (1.0, -1.5)
    moved = group_cell(answer(image, origin=point.tolist()))
    assert moved is not None
    shift = np.linalg.solve(plain.basis, moved.origin - plain.origin)
    assert np.allclose(shift, 0.5, atol=1e-3)
    before = {(r.h, r.k): r for r in plain.reflections}
    for r in moved.reflections:
        old = before[r.h, r.k]
        assert r.amplitude == pytest.approx(old.amplitude)
        turned = np.exp(1j * np.radians(old.phase - r.phase)) * np.exp(-2j * np.pi * (np.array([r.h, r.k]) @ shift))
        assert abs(turned - 1) < 1e-2


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"basis": [(20, 0), (40, 0)]}, "basis 20,0,40,0: the two vectors span a lattice with a vector of"),
        ({"basis": [(20, 0), (0, float("nan"))]}, "basis"),
        ({"basis": [1, 2, 3]}, "basis [1, 2, 3]: give 4 numbers"),
        ({"basis": [(20, 0), (0, 30)], "regions": True}, "leave regions out"),
        ({"basis": [(20, 0), (0, 30)], "rectify": "smooth"}, "leave what straightens it"),
        ({"basis": [(20, 0), (0, 30)], "strain": 0.1}, "leave what straightens it"),
        ({"refine": False}, "no-refine: there is no lattice"),
        ({"group": "p5"}, "group p5: "),
        ({"origin": (1, "x")}, "origin (1, 'x'): give 2 numbers"),
    ],
)
def test_what_makes_no_sense_is_one_line_that_names_the_argument(asked: dict[str, Any], told: str) -> None:
    with pytest.raises(HierError) as caught:
        hier.load(**asked)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_image_that_is_too_small_for_the_lattice_is_told_and_the_next_is_answered() -> None:
    pattern, image = drawn("p4g")
    model = hier.load(basis=vectors(pattern))
    small, large = model.predict_each([image[:, :40, :40], image])
    assert isinstance(small, hier.Failure)
    assert "40 x 40 px does not show a repeat of such a cell" in small.error
    assert isinstance(large, Prediction)
    assert large.group == "p4g"


def test_what_is_asked_travels_with_a_prediction(tmp_path: Path) -> None:
    """Read again in another process, the image is read on the same lattice."""
    pattern, image = drawn("p4g")
    path = tmp_path / "one.png"
    Image.fromarray((image * 255).round().byte().permute(1, 2, 0).numpy()).save(path)
    model = hier.load(basis=vectors(pattern), group="p4")
    (found,) = model.predict([path])
    again: Prediction = pickle.loads(pickle.dumps(found))
    assert again.asked == found.asked
    ours, theirs = group_cell(found), group_cell(again)
    assert ours is not None
    assert theirs is not None
    assert np.allclose(ours.basis, theirs.basis)


# The command line


@pytest.fixture
def file(tmp_path: Path) -> Path:
    _, image = drawn("p4g")
    Image.fromarray((image * 255).round().byte().permute(1, 2, 0).numpy()).save(tmp_path / "one.png")
    return tmp_path / "one.png"


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["hier", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


def test_the_panel_and_every_file_say_that_a_group_is_as_asked(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = {kind: tmp_path / f"one.{kind}" for kind in ("svg", "hk", "cif", "html")}
    words = ["--overlay", str(made["svg"]), "--hkl", str(made["hk"]), "--cif", str(made["cif"]), "--table"]
    words += ["--report", str(made["html"]), "--group", "p4m", "--pixel-size", "0.1nm", "--origin", "30,40"]
    assert run(monkeypatch, "predict", str(file), *words) == 0
    panel = capsys.readouterr().out
    assert "p4g  >" in panel
    assert "p4m, as asked: refused" in panel
    assert "> the answer, ? p4m as asked" in panel
    for kind in ("svg", "hk", "cif"):
        text = made[kind].read_text(encoding="utf-8")
        assert "as asked" in text, kind
        assert "p4m" in text, kind
        assert "the answer is p4g" in text, kind
    assert "How well each operation of p4m, as asked, holds" in made["html"].read_text(encoding="utf-8")
    assert "the origin nearest to (30, 40) px, as asked" in made["hk"].read_text(encoding="utf-8")


def test_json_says_what_was_asked_and_how_it_fares(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pattern, _ = drawn("p4g")
    text = ",".join(f"{x:.1f}" for v in vectors(pattern) for x in v)
    assert run(monkeypatch, "predict", str(file), "--json", f"--basis={text}", "--no-refine", "--group", "p4gm") == 0
    (found,) = json.loads(capsys.readouterr().out)
    asked = found["asked"]
    assert asked["lattice"]["refine"] is False
    assert asked["group"] == asked["fares"]["group"] == "p4g"
    assert "table" not in found


def test_a_sheet_tells_what_was_asked_and_how_far_the_answer_is_to_be_trusted(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheet = tmp_path / "a.csv"
    assert run(monkeypatch, "predict", str(file), "--csv", str(sheet), "--group", "p4m") == 0
    with sheet.open(encoding="utf-8", newline="") as opened:
        (row,) = csv.DictReader(opened)
    assert [row[name] for name in ("group", "confidence", "asked", "verdict")] == ["p4g", "sure", "p4m", "refused"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--basis", "20,0,40,0"], "--basis 20,0,40,0: "),
        (["--basis", "20,0,x,0"], "--basis "),
        (["--basis", "20,0,0,30", "--regions"], "--basis 20,0,0,30: "),
        (["--no-refine"], "--no-refine: "),
        (["--group", "p5"], "--group p5: "),
        (["--origin", "1"], "--origin "),
    ],
)
def test_an_error_is_one_line_that_names_the_option(
    words: list[str], told: str, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "predict", str(file), *words) == 2
    error = capsys.readouterr().err.strip()
    assert told in error
    assert "Traceback" not in error


def test_another_say_is_another_run_of_a_table(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = str(tmp_path / "one.jsonl")
    assert run(monkeypatch, "predict", str(file), "--jsonl", table) == 0
    assert run(monkeypatch, "predict", str(file), "--jsonl", table, "--group", "p4m") == 2
    assert "--restart" in capsys.readouterr().err
