"""A crystal in a part of the view: the whole image first, then its parts, and the answer says which; regions."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hier.datasets import Corruption, NonPatternDataset, PatternDataset
from hier.models.classifier import Classifier
from hier.models.evidence.crops import SMALLEST, cut, parts
from hier.pipelines.measuring.files import answer_files
from PIL import Image
from torch import Tensor

import hier
from hier.cli.app import main


def pattern(size: int = 256) -> Tensor:
    return PatternDataset("atoms", 61, size, groups=("p4m",), orientation="aligned", cells=(16, 40)).batch([0])[0]


@pytest.fixture(scope="module")
def particle() -> Tensor:
    """A crystal in the lower left quarter of a photograph."""
    whole = NonPatternDataset(5, 512).batch([0])[0]
    whole[:, 256:, :256] = pattern()
    return whole


def test_parts_lie_within_the_image_and_are_large_enough() -> None:
    image = torch.rand(3, 300, 420)
    for left, top, width, height in parts(image):
        assert min(width, height) >= SMALLEST
        assert 0 <= left <= left + width <= 420
        assert 0 <= top <= top + height <= 300
    assert parts(torch.rand(3, 150, 150)) == []


def test_a_frame_of_one_colour_is_left_out() -> None:
    image = torch.full((3, 300, 400), 0.3)
    image[:, 40:290, 60:380] = torch.rand(3, 250, 320)
    assert parts(image)[0] == (60, 40, 320, 250)
    assert all(float(cut(image, box).std()) > 0 for box in parts(image))


def test_a_crystal_in_one_quarter_is_found_and_placed_on_the_image(particle: Tensor) -> None:
    pixels = particle.permute(1, 2, 0).numpy()
    found = hier.load().predict(pixels, keep=True)[0]
    assert found.region == (0, 256, 256, 256)
    left, top, width, height = found.region
    assert found.group == "p4m"
    assert found.symmetry is not None
    x, y, w, h = found.symmetry.view
    assert (x, y) == (left, top)
    assert (w, h) == (width, height)
    again = hier.load().predict(pixels[top : top + height, left : left + width])[0]
    assert again.group == found.group
    assert again.lattice is not None
    assert found.lattice is not None
    assert found.lattice.a == pytest.approx(again.lattice.a, rel=1e-3)
    assert found.plot() is not None


def test_what_is_periodic_as_a_whole_has_no_region() -> None:
    found = hier.load().predict(pattern().permute(1, 2, 0).numpy())[0]
    assert found.region is None
    assert found.group == "p4m"


def test_json_tells_the_region(
    particle: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "particle.png"
    Image.fromarray((255 * particle.permute(1, 2, 0)).round().numpy().astype(np.uint8)).save(file)
    monkeypatch.setattr("sys.argv", ["hier", "predict", str(file), "--json"])
    with pytest.raises(SystemExit, match="0"):
        main()
    shown = json.loads(capfd.readouterr().out)[0]
    assert shown["region"] == [0, 256, 256, 256]
    assert set(shown["flattened"]) == {"clip", "plane", "lines", "local"}


def test_evaluate_looks_at_parts_as_predict_does(particle: Tensor, tmp_path: Path) -> None:
    (tmp_path / "p4m").mkdir()
    for k in range(2):
        pixels = (255 * particle.permute(1, 2, 0)).round().numpy().astype(np.uint8)
        Image.fromarray(np.roll(pixels, k, 2)).save(tmp_path / "p4m" / f"{k}.png")
    answers = list(
        answer_files(Classifier.load(), [tmp_path / "p4m" / "0.png", tmp_path / "p4m" / "1.png"], "soft", {})
    )
    (found,) = (answer for _, answer in answers)
    said = [Classifier.load().labels[k] for k in found.winners.tolist()]
    told = hier.load().predict([tmp_path / "p4m" / f"{k}.png" for k in range(2)])
    assert said == [p.group for p in told] == ["p4m", "p4m"]
    torch.testing.assert_close(found.pattern, torch.tensor([p.periodic_probability for p in told]))


@pytest.fixture(scope="module")
def grains() -> Tensor:
    """p4m in the upper part, p31m below a slanted line."""
    many = {"cells": (40, 60)}
    upper = PatternDataset("atoms", 61, 256, groups=("p4m",), **many).batch([0])[0]  # type: ignore[arg-type]
    lower = PatternDataset("atoms", 62, 256, groups=("p31m",), **many).batch([1])[0]  # type: ignore[arg-type]
    at = torch.arange(256)
    return torch.where(at[:, None] + 0.2 * at < 165, upper, lower)


def asked(image: Tensor, **more: Any) -> hier.Prediction:
    return hier.load(regions=True, **more).predict(image.permute(1, 2, 0).numpy(), keep=True)[0]


def test_each_grain_has_its_answer_and_the_largest_comes_first(grains: Tensor) -> None:
    found = asked(grains)
    assert [region.answer.group for region in found.regions] == ["p4m", "p31m"]
    first, second = found.regions
    assert first.share > second.share > 0.3
    assert first.share + second.share <= 1
    for region in found.regions:
        left, top, width, height = region.rectangle
        x, y = np.transpose(region.outline)
        assert left - 1 <= x.min() < x.max() <= left + width
        assert top - 1 <= y.min() < y.max() <= top + height
        assert region.answer.region is not None
        assert region.answer.symmetry is not None
        assert region.answer.symmetry.view == region.answer.region
        corners = np.array(region.cell)
        assert np.linalg.norm(corners[1] - corners[0]) == pytest.approx(region.answer.lattice.a, rel=0.02)  # type: ignore[union-attr]
    middles = [np.mean(region.cell, axis=0) for region in found.regions]
    assert middles[0][1] < middles[1][1]
    assert found.plot() is not None


def test_a_particle_does_not_spoil_the_answer_for_the_crystal_around_it() -> None:
    image = pattern().clone()
    at = torch.arange(256.0)
    image[:, (at[:, None] - 120).hypot(at - 150) < 50] = 0.95
    (region,) = asked(image).regions
    assert region.answer.group == "p4m"
    assert len(region.holes) == 1


def test_without_being_asked_regions_are_found_where_nothing_else_is_periodic() -> None:
    """A disc of crystal that no quarter of the view lies in."""
    grey = 0.5 + 0.2 * torch.randn(1, 256, 256, generator=torch.Generator().manual_seed(1))
    image = grey.clamp(0, 1).expand(3, -1, -1).clone()
    at = torch.arange(256.0)
    inside = (at[:, None] - 90).hypot(at - 165) < 62
    image[:, inside] = PatternDataset("atoms", 61, 256, groups=("p4m",), cells=(90, 100)).batch([0])[0][:, inside]
    pixels = image.permute(1, 2, 0).numpy()
    (found,) = hier.load().predict(pixels)  # which is in memory as long as this test has it
    assert found.group == "p4m"
    assert found.region is not None
    assert found.plot() is not None


def test_a_straightened_region_is_drawn_on_the_image_as_it_is() -> None:
    tilt = (Corruption("perspective", (4, 4)),)
    image = torch.full((3, 288, 320), 0.5)
    image[:, 16:272, 40:296] = PatternDataset(
        "photos", 6, 256, groups=("p4m",), cells=(30, 36), corruptions=tilt
    ).batch([0])[0]  # fmt: skip
    found = asked(image)
    (region,) = found.regions
    assert region.answer.group == "p4m"
    left, top, width, height = region.rectangle
    x, y = np.transpose(region.cell)
    assert left <= x.min() < x.max() <= left + width
    assert top <= y.min() < y.max() <= top + height
    again = pickle.loads(pickle.dumps(region.answer))
    assert again.plot() is not None


def test_what_has_no_pattern_has_no_region() -> None:
    generator = torch.Generator().manual_seed(0)
    found = asked(torch.rand(3, 160, 160, generator=generator))
    assert not found.periodic
    assert found.regions == ()
    assert found.as_dict()["regions"] == []


def test_panel_and_json_list_the_regions(
    grains: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "grains.png"
    Image.fromarray((255 * grains.permute(1, 2, 0)).round().numpy().astype(np.uint8)).save(file)
    for more in (["--json"], ["--overlay", str(tmp_path / "out.png")]):
        monkeypatch.setattr("sys.argv", ["hier", "predict", str(file), "--regions", *more])
        with pytest.raises(SystemExit, match="0"):
            main()
        out = capfd.readouterr().out
        if more == ["--json"]:
            (shown,) = json.loads(out)
            assert [region["group"] for region in shown["regions"]] == ["p4m", "p31m"]
            for name in ("share", "rectangle", "outline", "holes", "cell", "probability", "lattice", "field"):
                assert all(name in region for region in shown["regions"])
        else:
            assert re.search(r"1 +p4m", out)
            assert re.search(r"2 +p31m", out)
    assert (tmp_path / "out.png").stat().st_size > 10_000
