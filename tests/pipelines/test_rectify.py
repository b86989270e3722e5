"""Bent and tilted images through the front door: answers, lists of what remains possible, files, and bad input."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from hier.datasets import Corruption, PatternDataset
from hier.hierarchy import HierError, UnknownNameError
from hier.pipelines.reading.images import read
from hier.pipelines.straightening.options import Rectification
from hier.pipelines.straightening.said import FieldFound, Possible
from PIL import Image
from torch import Tensor

import hier
from hier.cli.app import main

STEPS = {"perspective": 4.0, "barrel": 5.0, "creep": 5.0, "shear": 5.0}


def image(kind: str | None, group: str, source: str = "photos", size: int = 224) -> Tensor:
    steps = () if kind is None else (Corruption(kind, (STEPS[kind], STEPS[kind])),)
    dataset = PatternDataset(source, 51, size=size, cells=(8, 24), corruptions=steps)  # type: ignore[arg-type]
    return dataset.batch([dataset.find(group, 0)])[0]


def saved(path: Path, shown: Tensor) -> Path:
    Image.fromarray((255 * shown.permute(1, 2, 0).numpy()).round().astype(np.uint8)).save(path)
    return path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["hier", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


@pytest.fixture(scope="module")
def predictor() -> hier.Predictor:
    return hier.load()


@pytest.mark.parametrize("group", ["p2", "pmm", "p4m", "p31m", "p6"])
def test_a_tilted_pattern_has_the_group_of_the_plane(predictor: hier.Predictor, group: str) -> None:
    found = predictor.predict(image("perspective", group).permute(1, 2, 0).numpy())[0]
    assert found.group == group
    assert found.field is not None
    assert found.field.kind == "perspective"
    assert found.field.tilt == pytest.approx(24, abs=1)
    assert found.field.error < 0.2
    assert found.possible[0].group == group
    plain = hier.load(rectify="none").predict(image("perspective", group).permute(1, 2, 0).numpy())[0]
    assert plain.field is None
    assert plain.possible == ()


def test_a_straight_pattern_is_answered_as_it_is(predictor: hier.Predictor) -> None:
    for group in ("p2", "p4g", "p6m"):
        shown = image(None, group).permute(1, 2, 0).numpy()
        found, plain = predictor.predict(shown)[0], hier.load(rectify="none").predict(shown)[0]
        assert found.field is None
        assert (found.group, found.groups) == (plain.group, plain.groups)


@pytest.mark.parametrize("group", ["cmm", "p4m", "p3m1", "p6m"])
def test_a_strain_is_taken_out_where_that_makes_operations_hold(group: str) -> None:
    shown = image("shear", group).permute(1, 2, 0).numpy()
    plain = hier.load().predict(shown)[0]
    assert plain.group != group
    found = hier.load(strain=0.12).predict(shown)[0]
    assert found.group == group
    assert found.possible[0].strain <= 0.12
    assert found.possible[0].stretch > 1.05
    assert str(found.possible[0]).startswith(f"{group} if stretched by ")
    assert plain.group in {p.group for p in found.possible}


def test_a_group_of_an_oblique_lattice_is_given_no_other() -> None:
    found = hier.load(strain=0.12).predict(image("shear", "p2").permute(1, 2, 0).numpy())[0]
    assert found.group == "p2"


def test_without_a_metric_the_list_says_what_each_group_needs() -> None:
    shown = image("shear", "p4m").permute(1, 2, 0).numpy()
    found = hier.load(metric="unknown").predict(shown)[0]
    assert found.group == "p4m"
    assert [p.strain == 0 for p in found.possible].count(True) == 1, "as it is"
    assert len(found.possible) <= 3


def test_the_straight_image_is_a_file_with_its_pixel_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    file, out = saved(tmp_path / "tilted.png", image("perspective", "p4m")), tmp_path / "straight.tif"
    arguments = ("predict", str(file), "--pixel-size", "0.02nm", "--corrected", str(out), "--json")
    assert run(monkeypatch, *arguments) == 0
    (row,) = json.loads(capfd.readouterr().out)
    assert row["field"]["kind"] == "perspective"
    assert row["possible"][0]["group"] == row["group"] == "p4m"
    written = read(str(out))
    assert written.pixel_size is not None
    assert (written.pixel_size.value, written.pixel_size.unit) == (pytest.approx(0.02), "nm")
    assert tifffile.imread(out).dtype == np.float32
    again = hier.load(rectify="none").predict(str(out))[0]
    assert again.group == "p4m"
    # it is one of ours, and may be written again; another's is not
    assert run(monkeypatch, *arguments) == 0
    tifffile.imwrite(out, np.zeros((4, 4), np.float32))
    capfd.readouterr()
    assert run(monkeypatch, *arguments) == 2
    assert "no TIF that hier wrote" in capfd.readouterr().err


def test_nothing_to_correct_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    file, out = saved(tmp_path / "straight.png", image(None, "p4m")), tmp_path / "out.tif"
    assert run(monkeypatch, "predict", str(file), "--corrected", str(out)) == 0
    assert "nothing to correct" in capfd.readouterr().err
    assert not out.exists()


def test_elements_are_drawn_on_the_image_as_it_is_bent(tmp_path: Path) -> None:
    shown = image("barrel", "p4m")
    file = saved(tmp_path / "lens.png", shown)
    (found,) = hier.load().predict(str(file))
    assert found.field is not None
    assert found.source is not None
    bent = found.source.bent()
    assert bent is not None
    original, how = bent
    assert original.shape == shown.shape, "the figure shows the whole image, not the straight one"
    assert found.symmetry is not None
    # a mirror line of the straight plane is no line in the image
    line = torch.tensor([[0.0, 20.0], [100.0, 20.0], [200.0, 20.0]])
    a, b, c = how.original(line)
    (ux, uy), (vx, vy) = (c - a).tolist(), (b - a).tolist()
    assert abs(ux * vy - uy * vx) / float((c - a).norm()) > 0.3, "px off the straight line"
    figure = found.plot()
    paths = next(c for c in figure.axes[0].collections if c.get_gid() == "mirror").get_paths()
    assert len(paths[0].vertices) > 2
    other = pickle.loads(pickle.dumps(found))
    assert other.source.bent() is not None


def test_the_panel_tells_field_and_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    files = [saved(tmp_path / f"{kind}.png", image(kind, "p4m")) for kind in ("perspective", "shear")]
    assert run(monkeypatch, "predict", *map(str, files), "--strain", "0.12") == 0
    said = " ".join(capfd.readouterr().out.split())
    assert "straightened: perspective, tilt 2" in said
    assert "possible: p4m if stretched by" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--rectify", "smoth"), "smooth"),
        (("--metric", "euclid"), "known"),
        (("--focal", "-1"), "focal"),
        (("--strain", "2"), "at most 0.5"),
        (("--corrected", "out.png"), ".tif"),
    ],
)
def test_bad_values_are_told_in_a_line(
    arguments: tuple[str, str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    file = saved(tmp_path / "one.png", image("perspective", "p4m"))
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "predict", str(file), *arguments) == 2
    said = capfd.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert not (tmp_path / "out.png").exists()


def test_an_image_without_a_lattice_is_not_periodic_and_not_corrected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    noise = torch.rand(3, 160, 160, generator=torch.Generator().manual_seed(1))
    file, out = saved(tmp_path / "noise.png", noise), tmp_path / "out.tif"
    assert run(monkeypatch, "predict", str(file), "--rectify", "perspective", "--corrected", str(out)) == 0
    assert "not periodic" in capfd.readouterr().out
    assert not out.exists()
    assert hier.load(rectify="smooth").predict(torch.rand(1, 40, 40))[0].group is None


def test_values_are_checked() -> None:
    for wrong in ({"mode": "bent"}, {"metric": "maybe"}):
        with pytest.raises(UnknownNameError):
            Rectification(**wrong)
    for focal in (0.0, float("nan"), float("inf")):
        with pytest.raises(HierError, match="focal"):
            Rectification(focal=focal)
    assert str(Possible("cmm", 0.9, "", 1.0, 0.0, 0.0)) == "cmm as it is"
    found = FieldFound("none", 0.0, 0.0, 1.0, 0.0, None, None, None, (), 1.0, ((1.0, 0.0), (0.0, 1.0)))
    assert str(found).startswith("straight")


def test_evaluation_answers_as_prediction_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Bent patterns and folders of them are straightened, unless they are to be taken as they are."""

    def right(*arguments: str) -> float:
        assert run(monkeypatch, "evaluate", *arguments, "--json") == 0
        found = json.loads(capfd.readouterr().out)
        return float(found.get("share", found.get("accuracy")))

    generated = ("--source", "photos", "--count", "9", "--seed", "52", "--corrupt", "perspective=4")
    assert right(*generated) > 0.8 > 0.5 > right(*generated, "--rectify", "none")
    for name in ("p4m", "p31m"):
        saved(tmp_path / f"{name}.png", image("perspective", name))
    (tmp_path / "labels.csv").write_text("file,acceptable\np4m.png,p4m\np31m.png,p31m\n")
    assert right(str(tmp_path)) == 1
    assert right(str(tmp_path), "--rectify", "none") < 1
    assert run(monkeypatch, "evaluate", *generated, "--tolerance", "0.1") == 2
    assert "--rectify none" in capfd.readouterr().err


@pytest.mark.parametrize("group", ["p4m", "p31m"])
def test_a_tilted_crystal_in_a_part_of_the_view_is_answered(predictor: hier.Predictor, group: str) -> None:
    """It fills a third of the view; around it lies a ground of another brightness that changes."""
    dataset = PatternDataset(
        "photos", 53, size=256, cells=(30, 50), corruptions=(Corruption("perspective", (4.5, 4.5)),)
    )  # fmt: skip
    shown = dataset.batch([dataset.find(group, 0)])[0]
    y, x = torch.meshgrid(torch.linspace(-1, 1, 256), torch.linspace(-1, 1, 256), indexing="ij")
    crystal = (x + 0.1).square() + (y - 0.1).square() < 0.42
    ground = (0.5 + 0.2 * x - 0.1 * y).expand(3, -1, -1)
    found = predictor.predict(torch.where(crystal, shown, ground).permute(1, 2, 0).numpy())[0]
    assert found.group == group
    assert found.field is not None
    assert found.region is not None
    left, top, width, height = found.region
    assert crystal[top : top + height, left : left + width].float().mean() > 0.8
