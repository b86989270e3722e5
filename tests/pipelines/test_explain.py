"""What decided an answer: the pixels a network looks at, the maps a node looks at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hier.hierarchy import HierError
from hier.models.classifier import Classifier
from hier.models.evidence.maps import MAPS
from hier.pipelines.answering.explain import explain_maps
from hier.pipelines.benchmark.explain import draw_pixels, explain_pixels, fitted, load_ensemble
from hier.pipelines.loading import load
from hier.pipelines.reporting.explained import check_out, draw_maps
from PIL import Image
from torch import Tensor, nn
from typer.testing import CliRunner

from hier.cli.app import app


class LooksLeft(nn.Module):
    """Answers by the brightness of the left half, and by nothing else."""

    classes = ("dark", "bright")

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(3.0))

    def forward(self, images: Tensor) -> Tensor:
        x = images[..., : images.shape[-1] // 2].mean((1, 2, 3))
        return torch.stack([-self.gain * (x - 0.5), self.gain * (x - 0.5)], 1).log_softmax(1)


def squares(side: int = 128) -> Tensor:
    """A p4m pattern."""
    x = torch.arange(side) * 2 * torch.pi / 24
    return (0.5 + 0.25 * (x.cos()[:, None] + x.cos())).expand(3, -1, -1).clone()


def test_pixels_that_count_are_shown_and_others_are_not(tmp_path: Path) -> None:
    network: Any = LooksLeft()
    image = torch.full((3, 32, 32), 0.8)
    found = explain_pixels(network, image)
    assert (found.answer, round(found.probability, 2)) == ("bright", round(float(torch.tensor(1.8).sigmoid()), 2))
    assert float(found.saliency[:, :14].min()) > 0.9
    assert float(found.saliency[:, 20:].max()) < 1e-6
    draw_pixels(found, "looks left", tmp_path / "why.png")
    assert np.asarray(Image.open(tmp_path / "why.png")).std() > 10


def test_maps_that_the_lattice_does_not_allow_cannot_have_decided(tmp_path: Path) -> None:
    steps = explain_maps(Classifier.load(), squares())
    assert (steps[0].node, steps[0].choice) == ("rotation", "order 4")
    assert steps[0].drops["4-fold"] > 0.5, "without the 4-fold map, order 4 is less likely"
    for step in steps:
        assert list(step.drops) == [name for name, _, _ in MAPS]
        hexagonal = [step.drops[name] for name in ("3-fold", "6-fold", "mirror along a", "mirror across b")]
        assert max(map(abs, hexagonal)) < 1e-4, "a square lattice has none of them to take away"
        assert max(map(abs, step.drops.values())) > 1e-4
    draw_maps(steps, squares(), tmp_path / "why.svg")
    assert (tmp_path / "why.svg").stat().st_size > 1000


@pytest.mark.parametrize("shape", [(64, 64), (100, 80), (40, 50), (700, 500)])
def test_an_image_of_any_size_is_fitted_to_the_network(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    assert fitted(torch.rand(3, *shape, generator=generator), 64).shape == (3, 64, 64)


def test_what_cannot_be_explained_is_told(tmp_path: Path) -> None:
    for name, words in (
        ("maps-tree", "leave --backbone out"),
        ("filter-centres", "hand-picked centres"),
        ("resnet", "hier benchmark --only resnet"),
        ("resnets", "resnet"),
    ):
        with pytest.raises(HierError, match=words):
            load_ensemble(tmp_path, name)
    with pytest.raises(HierError, match=r"\.png"):
        check_out(tmp_path / "why.jpeg")
    with pytest.raises(HierError, match="no folder"):
        check_out(tmp_path / "missing" / "why.png")


def test_the_answer_that_is_explained_is_the_one_that_is_given(tmp_path: Path) -> None:
    """A refused image has its gate explained, and the path of another is that of `hier predict`."""
    noise = np.random.default_rng(1).integers(0, 255, (160, 120), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    Image.fromarray((squares() * 255).byte().permute(1, 2, 0).numpy()).save(tmp_path / "squares.png")
    for name in ("noise", "squares"):
        (found,) = load().predict(tmp_path / f"{name}.png")
        told = CliRunner().invoke(
            app, ["explain", str(tmp_path / f"{name}.png"), "--out", str(tmp_path / f"{name}.svg")]
        )
        assert told.exit_code == 0, told.output
        steps = [(step.level, step.choice) for step in found.path] if found.periodic else [("gate", "not periodic")]
        assert found.statement in told.output
        assert all(f": {choice} (" in told.output for _, choice in steps)
        assert ("--basis" in told.output) == (name == "noise"), "what to do next"
        drawn = (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
        assert drawn.count("log-probability lost without it") >= len(steps)
