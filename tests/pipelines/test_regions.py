"""A crystal in a part of the view: the whole image first, then its parts, and the answer says which."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hier.datasets import NonPatternDataset, PatternDataset
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
