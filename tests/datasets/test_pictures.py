"""How a pattern reads its picture: the generic point sees the middle, a pixel spans as much as there is room for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hier.datasets import PatternDataset, Pool
from hier.datasets.pictures import pictures_at
from hier.datasets.textures import SIDE

RAMP = torch.arange(256, dtype=torch.uint8).expand(256, 256)  # the red of a pixel is its column, the green its row
RAMPS = Pool(torch.stack([RAMP, RAMP.T, torch.zeros_like(RAMP)])[None], ("ramps",))


def spanned(name: str, reach: float, turn: float) -> tuple[float, float, float]:
    """Columns and rows of the picture that a step of one px to the right spans, and the largest that would fit."""
    dataset = PatternDataset("photos", 4, 128, (name,), cells=(4, 6), pool=RAMPS)
    pattern = replace(dataset.draw(0, 0), reach=reach, turn=turn, grey=False)
    generic = pattern.basis @ pattern.generic
    points = torch.from_numpy(generic + np.array([[0.0, 0], [-0.25, 0], [0.25, 0]])).float()[None]
    middle, left, right = 255 * pictures_at([pattern], points, RAMPS)[0, :2].T
    assert middle.tolist() == pytest.approx([SIDE / 2 - 0.5] * 2, abs=2.5)
    column, row = (2 * (right - left)).tolist()
    return column, row, 0.48 * SIDE / pattern.orbit.radius


@pytest.mark.parametrize("name", ["p1", "pgg", "p6m"])
def test_a_pixel_spans_between_seven_tenths_and_all_that_the_picture_has_room_for(name: str) -> None:
    for reach in (0.0, 0.5, 1.0):
        column, row, widest = spanned(name, reach, 0.0)
        assert column == pytest.approx(0.7 * max(widest / 0.7, 1) ** reach, rel=0.1)
        assert row == pytest.approx(0, abs=0.1)


def test_a_turn_turns_the_picture() -> None:
    column, row, _ = spanned("p1", 0.0, np.pi / 2)
    assert column == pytest.approx(0, abs=0.1)
    assert abs(row) == pytest.approx(0.7, rel=0.1)
