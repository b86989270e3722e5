"""Which images a training sees, by its settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import pytest
from hier.datasets import KINDS, SOURCES
from hier.hierarchy import GROUP_NAMES, load_tree
from hier.pipelines.generating.parts import REVISION, Part
from hier.pipelines.training.data import PASTED, negative_parts, training_parts, validation_parts
from hier.pipelines.training.settings import SettingsError, TrainSettings, check_images, digest
from hypothesis import given, strategies


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


def spread(parts: Iterable[Part], names: tuple[str, ...] = GROUP_NAMES) -> tuple[int, int]:
    """The fewest and the most images that a name has in the parts."""
    counts = Counter(part.dataset.label(i) for part in parts for i in range(part.start, part.stop))
    return min(counts[name] for name in names), max(counts[name] for name in names)


@given(
    count=strategies.integers(17, 700),
    sources=strategies.sampled_from([("photos",), ("atoms", "photos"), SOURCES]),
    sizes=strategies.lists(strategies.sampled_from([64, 128, 256]), min_size=1, max_size=5),
    pasted=strategies.floats(0, 1),
    whitened=strategies.floats(0, 1),
)
def test_labels_are_even_in_every_share_of_a_training(
    count: int, sources: tuple[str, ...], sizes: list[int], pasted: float, whitened: float
) -> None:
    settings = TrainSettings(source=sources, sizes=tuple(sizes), count=count, pasted=pasted, whitened=whitened)
    parts = training_parts(settings)
    assert sum(part.stop - part.start for part in parts) == count
    few, many = spread(parts)
    assert 0 <= few <= many <= few + 1
    for part in parts:
        few, many = spread([part])
        assert many <= few + 1
    paste = [p for p in parts if p.dataset.construction == "paste"]  # type: ignore[union-attr]
    number = sum(p.stop - p.start for p in paste)
    able = sum(p.stop - p.start for p in parts if p.dataset.source in PASTED)  # type: ignore[union-attr]
    assert number == pytest.approx(pasted * able, abs=0.51)
    few, many = spread(paste)
    assert many <= few + 1
    assert few >= 1 or number < 17, "every group is pasted"
    photos = sum(p.stop - p.start for p in parts if p.dataset.source == "photos")  # type: ignore[union-attr]
    white = sum(p.stop - p.start for p in parts if p.whitened)
    assert white == pytest.approx(whitened * photos, abs=1.01)
    for k in range(len(sources) * len(sizes)):
        pair = sum(p.stop - p.start for p in parts if p.dataset.seed % 1000 == k)
        assert pair == pytest.approx(count / (len(sources) * len(sizes)), abs=1)
    few, many = spread(negative_parts(settings, "train"), KINDS)
    assert many <= few + 1


@pytest.mark.parametrize("count", [17, 18, 50, 510])
def test_every_node_has_validation_images_of_each_of_its_choices(count: int) -> None:
    parts = validation_parts(TrainSettings(source=("photos", "atoms", "noise"), valid_count=count))
    few, many = spread(parts)
    assert 1 <= few <= many <= few + 1


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"source": ("photos", "atoms", "noise"), "sizes": (64,) * 6, "count": 17}, "count = 17 is less"),
        ({"source": ("atoms",), "whitened": 0.3}, "whitened = 0.3 applies to photos"),
        ({"sizes": (256, 32)}, "sizes: 60 cells in 32 x 32 px"),
    ],
)
def test_images_that_cannot_be_made_are_an_error_with_the_settings_name(given: dict[str, object], key: str) -> None:
    with pytest.raises(SettingsError, match=key):
        check_images(TrainSettings.model_validate(given))


def test_a_training_is_known_by_all_that_it_depends_on(with_pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree, settings = load_tree("wallpaper"), TrainSettings(photos=with_pictures / "pictures")
    one = digest(settings, tree)
    moved = with_pictures / "elsewhere"
    (with_pictures / "pictures").rename(moved)
    settings = settings.model_copy(update={"photos": moved})
    assert digest(settings, tree) == one, "wherever the photographs are"
    assert digest(settings.model_copy(update={"seed": 1}), tree) != one
    assert digest(settings, load_tree("paper")) != one
    monkeypatch.setattr("hier.pipelines.training.settings.REVISION", REVISION + 1)
    assert digest(settings, tree) != one
    monkeypatch.undo()
    monkeypatch.setattr("hier.pipelines.training.settings.version", lambda name: "0.0.0")
    assert digest(settings, tree) != one
    monkeypatch.undo()
    file, other = moved / "valid" / "leaves-0.png", moved / "valid" / "leaves-1.png"
    file.write_bytes(other.read_bytes())
    assert digest(settings, tree) != one


@pytest.mark.parametrize(("count", "batch"), [(3400, 128), (34_000, 340), (10**6, 1024)])
def test_a_card_gets_larger_batches_and_rates_to_go_with_them(count: int, batch: int) -> None:
    settings = TrainSettings(count=count)
    assert settings.on("cpu").batch == 128
    assert settings.on("cpu").lr == settings.lr
    there = settings.on("cuda:0")
    assert there.batch == batch
    assert there.lr / settings.lr == there.tune_lr / settings.tune_lr == pytest.approx((batch / 128) ** 0.5)
    assert there.on("cpu") == there, "what was chosen stays"
    assert TrainSettings(count=count, batch=64).on("cuda:0").lr == settings.lr, "as given"


@pytest.mark.parametrize(
    ("count", "valid", "cross"), [(17, 34, 17), (1000, 150, 100), (3400, 510, 340), (90_000, 510, 340)]
)
def test_sets_that_nothing_is_trained_on_follow_the_count(count: int, valid: int, cross: int) -> None:
    found = TrainSettings(count=count)
    assert (found.valid_count, found.cross_count) == (valid, cross)
    assert TrainSettings(count=count, valid_count=51).valid_count == 51
