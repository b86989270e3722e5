"""No image is in two of the sets: training, validation, cross-validation, calibration, evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, combinations
from typing import get_type_hints

import pytest
import torch
from hier.datasets import SOURCES, PatternDataset, Pool
from hier.pipelines.generating.parts import Part
from hier.pipelines.training.calibrate import SPLITS, other_parts, split_parts
from hier.pipelines.training.data import cross_parts, negative_parts, training_parts, validation_parts
from hier.pipelines.training.settings import TrainSettings

from hier.cli.app import app

SEEDS = (0, 1, 2, 999, 1000, 999_999)  # of trainings; the last is the largest allowed
SMALL = {"source": SOURCES, "count": 120, "valid_count": 60, "cross_count": 40, "augment": False, "near_misses": 0}


def largest_seed(command: str) -> int:
    (callback,) = (c.callback for c in app.registered_commands if c.callback and c.callback.__name__ == command)
    (option,) = get_type_hints(callback, include_extras=True)["seed"].__metadata__
    return int(option.max)


def images(parts: list[Part]) -> set[tuple[str, int, int]]:
    """(source, seed, index) of every image of the parts."""
    return {
        (getattr(part.dataset, "source", "none"), part.dataset.seed, index)
        for part in parts
        for index in range(part.start, part.stop)
    }


def sets(seed: int) -> dict[str, list[Part]]:
    settings = TrainSettings(**SMALL, seed=seed)  # type: ignore[arg-type]
    return {
        "train": training_parts(settings) + negative_parts(settings, "train"),
        "valid": validation_parts(settings) + negative_parts(settings, "valid"),
        "cross": list(chain(*cross_parts(settings).values())),
    }


def calibration(seed: int) -> list[Part]:
    splits = (split_parts(k, 300, seed, SOURCES, None) + other_parts(k, 300, seed, None) for k in range(SPLITS))
    return list(chain(*splits))


def every_set() -> Iterator[tuple[str, set[tuple[str, int, int]]]]:
    """Each kind of set, of all `SEEDS` together: what validates one training may not train another."""
    by_seed = [sets(seed) for seed in SEEDS]
    for name in by_seed[0]:
        yield name, set().union(*(images(parts[name]) for parts in by_seed))
    yield "calibrate", set().union(*(images(calibration(seed)) for seed in (0, 1, largest_seed("calibrate"))))
    tested = (0, 1, largest_seed("evaluate"))
    yield "evaluate", {(source, seed, k) for source in (*SOURCES, "none") for seed in tested for k in range(300)}


def test_no_image_is_in_two_sets() -> None:
    for (one, its), (other, theirs) in combinations(every_set(), 2):
        assert its, one
        assert not its & theirs, f"{one} and {other} share {len(its & theirs)} images"


def test_seeds_of_evaluation_are_below_those_of_every_other_set() -> None:
    """So that this holds for the seeds in between too, not only for those above."""
    least = min(seed for name, its in every_set() if name != "evaluate" for _, seed, _ in its)
    assert largest_seed("evaluate") < least


@pytest.mark.parametrize("source", SOURCES)
def test_sets_show_different_pictures(source: str, pool: Pool) -> None:
    """Not by their numbers alone: the first pattern of each is another image, of the same group."""
    of_source = {"source": (source,), "pasted": 0, "sizes": (96,)}
    settings = TrainSettings(**SMALL | of_source)  # type: ignore[arg-type]
    parts = [training_parts(settings)[0], validation_parts(settings)[0], cross_parts(settings)[source][0]]
    parts.append(split_parts(0, 60, 0, (source,), None)[0])
    seeds = [0, *(part.dataset.seed for part in parts)]
    shown = [PatternDataset(source, seed, 48, cells=(4, 16), pool=pool).batch([3])[0] for seed in seeds]  # type: ignore[arg-type]
    for one, other in combinations(shown, 2):
        assert not torch.allclose(one, other, atol=0.05)
