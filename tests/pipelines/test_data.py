"""Which images a training sees, by its settings."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hier.pipelines.training.data import training_parts
from hier.pipelines.training.settings import TrainSettings


def test_the_parts_of_a_training_hold_each_image_once_and_all_that_were_asked_for() -> None:
    settings = TrainSettings(source=("photos", "atoms"), count=1000, pasted=0.35, whitened=0.3)
    parts = training_parts(settings)
    assert sum(part.stop - part.start for part in parts) == 1000
    pasted = sum(p.stop - p.start for p in parts if p.dataset.construction == "paste")  # type: ignore[union-attr]
    assert pasted == pytest.approx(350, abs=4)
    for one, other in pairwise(parts):
        if one.dataset == other.dataset:
            assert one.stop <= other.start


def test_whitened_is_a_share_of_photographs_and_of_nothing_else() -> None:
    parts = training_parts(TrainSettings(source=("photos", "noise"), count=2000, whitened=0.3))
    white = [p for p in parts if p.whitened and p.stop > p.start]
    assert {p.dataset.source for p in white} == {"photos"}  # type: ignore[union-attr]
    assert sum(p.stop - p.start for p in white) == pytest.approx(300, abs=8)


def test_disorder_is_the_share_of_images_with_either_kind_of_it() -> None:
    def shares(settings: TrainSettings) -> dict[str, float]:
        return {c.name: c.share for c in training_parts(settings)[0].dataset.corruptions}

    usual, more = shares(TrainSettings()), shares(TrainSettings(disorder=0.3))
    assert more["thermal"] == more["vacancies"] == 0.3
    others = usual.keys() - {"thermal", "vacancies"}
    assert {k: usual[k] for k in others} == {k: more[k] for k in others}
    assert shares(TrainSettings(augment=False)) == {}
