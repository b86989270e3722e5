"""The table of groups: its verdicts agree with what is known of a pattern, and every way to it gives the same."""

from __future__ import annotations

import csv
import json
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hier.datasets import PatternDataset
from hier.hierarchy import GROUP_NAMES, HierError, is_subgroup
from hier.pipelines.answering.predict import Predictor
from hier.pipelines.answering.results import Prediction
from hier.pipelines.answering.table import HOLDS, most_likely
from hier.pipelines.reading.picture import Reading
from PIL import Image

import hier
from hier.cli.app import main


@pytest.fixture(scope="module")
def model() -> Predictor:
    return hier.load()


def pattern(name: str, noise: float = 0.0, index: int = 0, source: str = "photos") -> torch.Tensor:
    g = torch.Generator().manual_seed(index)
    image = PatternDataset(source, 5, 192, groups=(name,)).batch([index])[0]
    return (image + noise * torch.randn(image.shape, generator=g)).clamp(0, 1)


def saved(path: Path, image: torch.Tensor) -> Path:
    Image.fromarray((image * 255).round().byte().permute(1, 2, 0).numpy()).save(path)
    return path


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["hier", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_a_group_holds_with_those_below_it_and_others_are_refused(model: Predictor, noise: float) -> None:
    right = 0
    for name in GROUP_NAMES:
        (found,) = model.predict([pattern(name, noise)], keep=True)
        if found.group != name:
            continue
        table = {row.group: row for row in found.table}
        assert list(table) == list(GROUP_NAMES)
        assert table[name].verdict == "holds"
        assert most_likely(found.table).group == name
        right += 1
        for other, row in table.items():
            if other != name and is_subgroup(name, other) and not is_subgroup(other, name):
                assert row.verdict == "refused", (name, other)
            if row.misfit is None:
                assert row.verdict == "refused"
                assert row.strain_percent > 3.75
                assert "strain" in row.reason
    assert right >= 16


def test_what_holds_holds_with_all_its_parts(model: Predictor) -> None:
    """Rounding to pixels breaks three-fold axes more than p6m as a whole, relative to what noise leaves."""
    for name, index in (("p6m", 2), ("p6m", 0), ("p4m", 1), ("p31m", 0)):
        image = PatternDataset("outlines", 5, 192, groups=(name,)).batch([index])[0]
        (found,) = model.predict([image], keep=True)
        table = {row.group: row.verdict for row in found.table}
        for larger, parts in {"p6m": ("p6", "p3", "p2", "cmm", "p3m1", "p31m"), "p4m": ("p4", "pmm", "cmm", "p2"),
                              "p31m": ("p3", "cm")}.items():  # fmt: skip
            if table[larger] == "holds":
                assert all(table[part] == "holds" for part in parts), (name, index, larger)


def test_weights_and_probabilities_sum_to_one(model: Predictor) -> None:
    (found,) = model.predict([pattern("p4m", 0.2)], keep=True)
    assert sum(row.akaike_weight for row in found.table) == pytest.approx(1)
    assert sum(row.probability or 0 for row in found.table) == pytest.approx(1)
    p1 = found.table[0]
    assert (p1.phase_deg, p1.target_deg, p1.amplitude_percent, p1.noise_ratio, p1.reason) == (0, 0, 0, None, "always")


def test_the_row_of_the_answer_lies_where_the_overlay_draws_it(model: Predictor) -> None:
    (found,) = model.predict([pattern("p31m")], keep=True)
    row = next(row for row in found.table if row.group == "p31m")
    assert found.symmetry is not None
    assert row.a == pytest.approx(found.symmetry.a, abs=0.05)
    assert row.b == pytest.approx(found.symmetry.b, abs=0.05)
    assert row.origin == pytest.approx(found.symmetry.origin, abs=0.5)


def test_a_tolerance_forgives(model: Predictor) -> None:
    """Half p4m, half p4: p4m misses by more than noise explains, and is forgiven or not."""
    mixed = PatternDataset("photos", 5, 192, groups=("p4",)).batch([0])[0]
    turned = mixed + 0.15 * mixed.flip(-1).roll(3, -1)
    image = (turned / turned.max()).clamp(0, 1)
    strict = hier.load(tolerance=0.01).predict([image], keep=True)[0]
    loose = hier.load(tolerance=0.9).predict([image], keep=True)[0]
    for found, forgiven in ((strict, 0.01), (loose, 0.9)):
        for row in found.table:
            if row.noise_ratio is not None and row.misfit is not None:
                wanted = (
                    "holds" if row.noise_ratio <= HOLDS
                    else "holds within tolerance" if row.misfit <= forgiven else "refused"
                )  # fmt: skip
                assert row.verdict == wanted, row.group
    assert {row.verdict for row in loose.table} > {"holds within tolerance"}


@pytest.mark.parametrize("tolerance", [0.004, 0.3])
def test_a_table_asked_for_later_is_that_of_the_answers_lattice(tolerance: float, tmp_path: Path) -> None:
    """Every second row is a little darker: with a tolerance of 0.3 that is no other lattice, with 0.004 it is."""
    y, x = torch.meshgrid(torch.arange(192.0), torch.arange(192.0), indexing="ij")
    waves = [(2 * torch.pi * t / 19).cos() for t in (x, y)]
    image = 0.5 + 0.1 * (waves[0] + waves[1] + waves[0] * waves[1]) + 0.04 * (torch.pi * y / 19).cos()
    file = saved(tmp_path / "rows.png", image.expand(3, -1, -1))
    model = hier.load(tolerance=tolerance)
    at_once: list[Prediction] = []
    for found in model.predict_each([str(file)], symmetry=True):
        assert isinstance(found, Prediction)
        assert len(found.table) == 17
        at_once.append(found)
    (later,) = model.predict([str(file)])
    assert later.lattice is not None
    assert later.lattice.b == pytest.approx(38 if tolerance == 0.004 else 19, rel=0.01)
    for one, two in zip(at_once[0].table, later.table, strict=True):
        assert (one.verdict, one.reflections) == (two.verdict, two.reflections)
        assert one.strain_percent == pytest.approx(two.strain_percent, abs=0.01)
        if one.noise_ratio is not None and one.a is not None:
            assert one.noise_ratio == pytest.approx(two.noise_ratio, rel=1e-2, abs=1e-2)
            assert one.a == pytest.approx(two.a, abs=0.01)
    again = pickle.loads(pickle.dumps(later))
    assert again.table == later.table


def test_it_converts_to_a_frame(model: Predictor) -> None:
    (found,) = model.predict([pattern("pmg")], keep=True)
    frame = pd.DataFrame(found.table)
    assert list(frame["group"]) == list(GROUP_NAMES)
    assert frame.set_index("group").loc["pmg", "verdict"] == "holds"
    assert frame["phase_deg"].dtype == float


def test_less_strain_tests_fewer_groups() -> None:
    """An image stretched by 1 %: a strain of 0.005 is the least that its square groups need."""
    image = pattern("p4m", index=1)[None]
    wide = torch.nn.functional.interpolate(image, size=(192, 196), mode="bicubic", align_corners=False).clamp(0, 1)[0]
    for strain, verdict in ((None, "holds"), (0.005, "refused")):
        (found,) = hier.load(strain=strain).predict([wide], keep=True)
        row = next(row for row in found.table if row.group == "p4")
        assert row.strain_percent == pytest.approx(1.02, abs=0.1)
        assert row.verdict == verdict


def test_an_image_without_a_pattern_has_no_table(model: Predictor) -> None:
    noise = torch.rand(3, 128, 128, generator=torch.Generator().manual_seed(1))
    (found,) = model.predict([noise], keep=True)
    assert not found.periodic
    assert found.table == ()
    assert found.as_dict()["table"] == []


def test_json_report_and_csv_have_it_when_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    one, two = saved(tmp_path / "one.png", pattern("p4g")), saved(tmp_path / "two.png", pattern("p2"))
    monkeypatch.chdir(tmp_path)
    words = ("predict", one.name, two.name)
    assert run(monkeypatch, *words, "--json") == 0
    assert all("table" not in row for row in json.loads(capfd.readouterr().out))
    assert run(monkeypatch, *words, "--json", "--table", "--report", "r.html", "--table-csv", "t.csv") == 0
    printed = json.loads(capfd.readouterr().out)
    assert [row["group"] for row in printed[0]["table"]] == list(GROUP_NAMES)
    rows = list(csv.DictReader(Path("t.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 34
    for row, other in zip(rows, printed[0]["table"] + printed[1]["table"], strict=True):
        assert (row["group"], row["verdict"]) == (other["group"], other["verdict"])
        assert (row["phase_deg"] == "") == (other["phase_deg"] is None)
        if row["a_x"]:
            assert float(row["a_x"]) == pytest.approx(other["a"][0], rel=1e-4)
    page = Path("r.html").read_text(encoding="utf-8")
    assert page.count("The table of groups") == 2
    assert "times noise" in page
    frame = pd.read_csv("t.csv")
    assert np.isfinite(frame["strain_percent"]).all()
    assert run(monkeypatch, *words, "--jsonl", "t.jsonl", "--table") == 0
    capfd.readouterr()
    assert all(json.loads(line)["table"] for line in Path("t.jsonl").read_text().splitlines())
    # ours is written again; a table of somebody else stays
    assert run(monkeypatch, *words, "--table-csv", "t.csv") == 0
    Path("t.csv").write_text("a,b\n")
    capfd.readouterr()
    assert run(monkeypatch, *words, "--table-csv", "t.csv") == 2
    assert "that hier wrote" in capfd.readouterr().err
    assert Path("t.csv").read_text() == "a,b\n"


@pytest.mark.parametrize("width", ["80", "120"])
def test_it_fits_the_terminal(
    width: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    file = saved(tmp_path / "one.png", pattern("p4g", 0.1))
    monkeypatch.setenv("COLUMNS", width)
    assert run(monkeypatch, "predict", str(file), "--table") == 0
    lines = capfd.readouterr().out.splitlines()
    assert max(map(len, lines)) <= int(width)
    assert not any("…" in line for line in lines)
    (answer,) = (line for line in lines if line.startswith("> "))
    assert answer.startswith("> p4g")
    assert "holds" in answer
    assert any("times noise" in line for line in lines) == (width == "120")
    assert any(line.startswith("layer groups with this projection") and "p4bm (56)" in line for line in lines)


def test_the_cell_by_least_squares_comes_with_its_uncertainty(model: Predictor, tmp_path: Path) -> None:
    image = PatternDataset("atoms", 5, 192, groups=("p4m",), cells=(20, 40)).batch([2])[0]
    noisy = (image + 0.05 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    file = saved(tmp_path / "atoms.png", noisy)
    (found,) = model.predict([str(file)], Reading.of(pixel_size="0.2A"))
    cell = found.refined
    assert cell is not None
    assert found.lattice is not None
    assert cell.unit == "A"
    assert cell.a == pytest.approx(found.lattice.a_length, rel=5e-3)
    assert (cell.b, cell.b_su, cell.gamma, cell.gamma_su) == (cell.a, cell.a_su, 90, 0)  # as p4m needs it
    assert 1e-5 < cell.a_su / cell.a < 1e-2
    assert str(cell).startswith("a = ")
    assert "Å" in str(cell)
    assert json.loads(json.dumps(found.as_dict()))["refined"]["a_su"] == cell.a_su


def test_few_cells_have_no_uncertainty(model: Predictor) -> None:
    image = PatternDataset("photos", 5, 96, groups=("p4",), cells=(4, 6)).batch([0])[0]
    (found,) = model.predict([image], keep=True)
    assert found.refined is None
    assert found.as_dict()["refined"] is None


def test_an_image_that_is_gone_is_told_in_a_line(model: Predictor) -> None:
    (found,) = model.predict([pattern("p4")])
    with pytest.raises(HierError, match="keep=True"):
        _ = found.table
