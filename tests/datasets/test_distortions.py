"""Distortions of the view: each is what it says, exactly known, and shown without a seam."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hier.datasets import SOURCES, Corruption, PatternDataset
from hier.datasets.distortions import BEND, DISTORTIONS, FOCAL, Distortion, bent, draw_distortion
from hier.hierarchy import HierError
from hypothesis import given, settings
from hypothesis import strategies as st

SIZE = 128
points = torch.cartesian_prod(*[torch.linspace(-60, 60, 9, dtype=torch.float64)] * 2)


@given(st.floats(0, 40), st.floats(0, 360))
@settings(deadline=None, max_examples=30)
def test_a_perspective_is_what_a_pinhole_camera_sees(tilt: float, direction: float) -> None:
    """Each ray through a pixel meets the plane in the point that the distortion names."""
    seen = Distortion("perspective", (tilt, direction), SIZE)(points)
    t, d, f = math.radians(tilt), math.radians(direction), FOCAL * SIZE
    normal = np.array([math.sin(t) * math.cos(d), math.sin(t) * math.sin(d), math.cos(t)])
    lean = np.array([math.cos(t) * math.cos(d), math.cos(t) * math.sin(d), -math.sin(t)])
    across = np.array([-math.sin(d), math.cos(d), 0.0])
    assert abs(normal @ lean) < 1e-12
    for (x, y), there in zip(points.numpy(), seen.numpy(), strict=True):
        ray = np.array([x, y, f])
        hit = ray * (f * normal[2]) / (normal @ ray) - np.array([0, 0, f])
        along, beside = hit @ lean, hit @ across
        expected = along * np.array([math.cos(d), math.sin(d)]) + beside * across[:2]
        assert there == pytest.approx(expected, abs=1e-6)


def test_a_barrel_moves_the_corner_by_its_share_and_the_middle_not_at_all() -> None:
    barrel = Distortion("barrel", (0.05,), SIZE)
    corner = torch.tensor([[SIZE / 2, -SIZE / 2]])
    assert torch.allclose(barrel(corner), 1.05 * corner)
    assert torch.equal(barrel(torch.zeros(1, 2)), torch.zeros(1, 2))


def test_creep_dies_away_from_the_first_row() -> None:
    creep = Distortion("creep", (0.05, -0.02), SIZE)
    first, last = torch.tensor([[3.0, -SIZE / 2]]), torch.tensor([[3.0, SIZE / 2]])
    assert torch.allclose(creep(first) - first, SIZE * torch.tensor([0.05, -0.02]))
    assert float((creep(last) - last).norm()) < 0.02 * float((creep(first) - first).norm())


@pytest.mark.parametrize("seed", range(5))
def test_a_bend_has_its_range_and_no_affine_part(seed: int) -> None:
    cell = 40.0
    drawn = draw_distortion("bend", 5, SIZE, cell, np.random.default_rng(seed))
    ticks = (torch.arange(33, dtype=torch.float64) / 32 - 0.5) * SIZE
    view = torch.cartesian_prod(ticks, ticks)
    moved = (drawn(view) - view).numpy()
    assert np.ptp(moved, axis=0).max() == pytest.approx(5 * BEND * cell, rel=1e-6)
    affine = np.column_stack([view.numpy(), np.ones(len(view))])
    assert np.abs(np.linalg.lstsq(affine, moved, rcond=None)[0]).max() < 1e-8


@pytest.mark.parametrize("kind", DISTORTIONS)
def test_nothing_moves_at_severity_0(kind: str) -> None:
    drawn = draw_distortion(kind, 0, SIZE, 30.0, np.random.default_rng(1))
    assert torch.allclose(drawn(points), points, atol=1e-9)


def test_an_unknown_distortion_is_named() -> None:
    with pytest.raises(HierError, match="wobble"):
        draw_distortion("wobble", 1, SIZE, 30.0, np.random.default_rng(1))


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("kind", DISTORTIONS)
def test_the_view_shows_the_pattern_where_the_distortion_says(kind: str, source: str) -> None:
    """Whatever lies at a point of the plane is seen at the pixel that is mapped to it."""
    plain = PatternDataset(source, 5, size=SIZE)  # type: ignore[arg-type]
    tilted = PatternDataset(source, 5, size=SIZE, corruptions=(Corruption(kind, (3, 3)),))  # type: ignore[arg-type]
    before, after = plain.batch([4])[0], tilted.batch([4])[0]
    (drawn,) = tilted.distortions(4)
    assert drawn.kind == kind
    inner = bent(before, [drawn])  # the plain view, bent: right wherever it reaches
    ticks = torch.arange(SIZE) - (SIZE - 1) / 2
    seen = drawn(torch.stack(torch.meshgrid(ticks, ticks, indexing="xy"), -1)).abs().amax(-1) < SIZE / 2 - 4
    assert seen.float().mean() > 0.5
    # an outline's tool draws a larger sheet on pixels of its own phase, atoms are stretched to levels of their own
    if source not in ("atoms", "outlines"):
        assert float((inner - after).abs().amax(0)[seen].mean()) < 0.01
    assert not torch.equal(before, after)


def test_an_image_does_not_depend_on_its_batch() -> None:
    steps = (Corruption("perspective", (2, 5)), Corruption("bend", (1, 3), 0.5), Corruption("noise", (1, 1)))
    dataset = PatternDataset("atoms", 3, size=64, corruptions=steps)
    together = dataset.batch(range(6))
    assert torch.equal(dataset.batch([4, 1]), together[[4, 1]])
    assert {len(dataset.distortions(k)) for k in range(6)} == {1, 2}
