"""Slopes of brightness: removed from patterns, and bare ones left alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hier.datasets import Corruption, PatternDataset
from hier.models.classifier import Classifier
from hier.models.evidence.background import without_slope
from hypothesis import given, settings
from hypothesis import strategies as st


def test_the_plane_is_that_of_least_squares_under_a_hann_window() -> None:
    image = np.random.default_rng(0).random((30, 41))
    y, x = ((np.arange(n) - (n - 1) / 2) / n for n in image.shape)
    root = np.sqrt(np.outer(np.cos(np.pi * y) ** 2, np.cos(np.pi * x) ** 2)).ravel()
    terms = np.stack([np.ones(image.shape), np.broadcast_to(x, image.shape), np.broadcast_to(y[:, None], image.shape)])
    columns = terms.reshape(3, -1).T
    found = np.linalg.lstsq(columns * root[:, None], image.ravel() * root, rcond=None)[0]
    expected = image - np.tensordot(found[1:], terms[1:], 1) - image.mean()
    np.testing.assert_allclose(without_slope(torch.from_numpy(image)[None, None])[0, 0], expected, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(-2, 2))
def test_a_plane_added_to_an_image_changes_nothing(across: float, down: float, level: float) -> None:
    image = torch.rand(2, 3, 24, 37, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    y, x = torch.linspace(-1, 1, 24, dtype=torch.float64)[:, None], torch.linspace(-1, 1, 37, dtype=torch.float64)
    tilted = image + across * x + down * y + level
    torch.testing.assert_close(without_slope(tilted), without_slope(image))


@pytest.mark.parametrize("steps", [255, None])
def test_a_bare_slope_keeps_itself_and_is_no_pattern(steps: int | None) -> None:
    y, x = torch.meshgrid(torch.linspace(0, 0.5, 256), torch.linspace(0, 0.4, 256), indexing="ij")
    slope = (x + y) if steps is None else ((x + y) * steps).round() / steps
    torch.testing.assert_close(without_slope(slope[None, None])[0, 0], slope - slope.mean())
    assert float(Classifier.load().answer(slope.expand(1, 3, -1, -1)).pattern[0]) < 0.5


@pytest.mark.parametrize("rise", [0.03, 0.06, 0.1])
def test_what_rounding_leaves_of_a_faint_slope_is_no_pattern(rise: float) -> None:
    angles = torch.linspace(0, torch.pi, 8)[:, None, None]
    y, x = torch.meshgrid(torch.linspace(-0.5, 0.5, 256), torch.linspace(-0.5, 0.5, 256), indexing="ij")
    slopes = ((0.4 + rise * (x * angles.cos() + y * angles.sin())) * 255).round() / 255
    assert not torch.equal(without_slope(slopes[:, None])[:, 0], slopes - slopes.mean((1, 2), keepdim=True))
    assert (Classifier.load().answer(slopes[:, None].expand(-1, 3, -1, -1)).pattern < 0.5).all()


@pytest.mark.parametrize("tilt", [7, 20])
def test_patterns_on_a_slope_of_many_times_their_deviation_are_told(tilt: float) -> None:
    model, dataset = Classifier.load(), PatternDataset("atoms", 75, 192)
    patterns = dataset.batch(range(34))
    y, x = torch.meshgrid(torch.linspace(-0.5, 0.5, 192), torch.linspace(-0.5, 0.5, 192), indexing="ij")
    slope = (0.8 * x + 0.6 * y) / (0.8 * x + 0.6 * y).std()
    tilted = patterns + tilt * patterns.std((1, 2, 3), keepdim=True) * slope
    said = model.answer(tilted)
    right = sum(model.labels[k] == dataset.label(i) for i, k in enumerate(said.winners.tolist()))
    assert (said.pattern > 0.5).all()
    assert right >= 33


def test_patterns_on_a_slope_are_told_as_well_as_on_a_level() -> None:
    model = Classifier.load()
    for severity in (0.0, 5.0):
        dataset = PatternDataset("atoms", 73, 192, corruptions=(Corruption("slope", (severity, severity)),))
        said = model.answer(dataset.batch(range(34))).log_probabilities.argmax(1).tolist()
        assert sum(model.labels[k] == dataset.label(i) for i, k in enumerate(said)) >= 32
