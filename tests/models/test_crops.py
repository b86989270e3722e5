"""Which part of a large image is read: the clearest of those that show enough cells, finely enough."""

from __future__ import annotations

import pytest
import torch
from hier.models.evidence import crops
from hier.models.evidence.crops import best_view, views
from hier.models.evidence.lattice import Lattice
from torch import Tensor

SIZE = 1800
IMAGE = torch.zeros(1, SIZE, SIZE)
SCALES = [view.scale for view in views(IMAGE)]


def chosen(monkeypatch: pytest.MonkeyPatch, cell: float, levels: list[float]) -> float:
    """Scale of the view that is read of an image of square cells, `cell` px, whose views repeat at these `levels`."""
    told = iter(zip(SCALES, levels, strict=True))

    def find_lattice(images: Tensor) -> Lattice:
        scale, level = next(told)
        return Lattice.alone(torch.eye(2)[None] * cell / scale, torch.tensor([level]), torch.tensor([0.0]))

    monkeypatch.setattr(crops, "find_lattice", find_lattice)
    return best_view(IMAGE).scale


def test_an_image_of_four_times_the_side_has_views_from_its_own_pixels_to_the_whole() -> None:
    assert pytest.approx([1, 2, SIZE / crops.SIDE], rel=1e-2) == SCALES


def test_the_view_that_repeats_best_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for k, scale in enumerate(SCALES):
        assert chosen(monkeypatch, 100, [0.9 if i == k else 0.8 for i in range(len(SCALES))]) == scale


def test_a_view_of_less_than_six_cells_is_left_for_a_larger_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """In 448 px there are four cells of 200 px, and six and a half of 175 px."""
    assert chosen(monkeypatch, 200, [0.9, 0.8, 0.7]) == SCALES[1]
    assert chosen(monkeypatch, 175, [0.9, 0.8, 0.7]) == SCALES[0]


def test_no_view_is_shrunk_until_vectors_are_shorter_than_20_px(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(monkeypatch, 44, [0.7, 0.8, 0.9]) == SCALES[1]
    assert chosen(monkeypatch, 20, [0.7, 0.8, 0.9]) == SCALES[0]
    assert chosen(monkeypatch, 76, [0.7, 0.8, 0.9]) == SCALES[1]
    assert chosen(monkeypatch, 84, [0.7, 0.8, 0.9]) == SCALES[2]


def test_a_clear_view_of_few_cells_is_read_where_no_other_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(monkeypatch, 200, [0.9, 0.3, 0.2]) == SCALES[0]
