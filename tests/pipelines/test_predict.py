"""Predictions: what is asked of them holds for any weights, so untrained ones serve."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hier.datasets import PatternDataset
from hier.hierarchy import HierError, load_tree
from hier.models.bundle import BUNDLED
from hier.models.evidence.crops import SIDE, views
from hier.pipelines.answering.cells import conventional
from hier.pipelines.answering.predict import Predictor
from hier.pipelines.answering.results import Failure, Prediction
from hier.pipelines.loading import load
from hier.pipelines.reading.images import ImageError, tiled
from hier.pipelines.reading.picture import Reading
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

RNG = np.random.default_rng(0)
IMAGES = {
    "grey": RNG.random((96, 96)),
    "colour": RNG.integers(0, 255, (80, 120, 3), dtype=np.uint8),
    "narrow": RNG.random((400, 33)),
    "smallest": RNG.random((32, 32)),
    "stripes": np.tile(np.sin(np.arange(100) / 3), (100, 1)),
    "chess": np.indices((64, 64)).sum(0) % 2,
    "single pixels": (np.arange(90)[:, None] % 13 + np.arange(90) % 17 == 0).astype(float),
    "large": np.kron(RNG.random((20, 30)), np.ones((40, 40))),
}


@pytest.fixture(scope="module")
def predictor(card_path: Path) -> Predictor:
    return load(card_path)


def close(one: Prediction, two: Prediction, tolerance: float = 2e-3) -> bool:
    return one.groups == pytest.approx(two.groups, abs=tolerance)


def test_every_image_gets_a_whole_answer(predictor: Predictor) -> None:
    tree = load_tree("wallpaper")
    for name, found in zip(IMAGES, predictor.predict(list(IMAGES.values())), strict=True):
        assert np.isfinite(list(found.groups.values())).all(), name
        assert sum(found.groups.values()) == pytest.approx(1, abs=1e-4)
        likeliest = max(found.groups, key=found.groups.__getitem__)
        assert found.group in (likeliest, None)
        assert [step.node for step in found.path] == [node for node, _ in tree.path(likeliest)]
        assert found.probability == pytest.approx(np.prod([step.probability for step in found.path]), rel=1e-3)
        json.loads(json.dumps(found.as_dict(), allow_nan=False))


def test_the_explanation_of_an_image_is_its_own(predictor: Predictor) -> None:
    """Each of many images has the path that it has alone."""
    together = predictor.predict(list(IMAGES.values()))
    for image, found in zip(IMAGES.values(), together, strict=True):
        (alone,) = predictor.predict(image)
        assert close(alone, found)
        for one, two in zip(alone.path, found.path, strict=True):
            assert (one.node, one.choice) == (two.node, two.choice)
            assert one.probability == pytest.approx(two.probability, abs=2e-3)


def test_files_arrays_tensors_and_pictures_are_one(predictor: Predictor, tmp_path: Path) -> None:
    array = IMAGES["colour"].astype(np.uint8)
    Image.fromarray(array).save(tmp_path / "x.png")
    np.save(tmp_path / "x.npy", array)
    given = [tmp_path / "x.png", str(tmp_path / "x.npy"), array, torch.tensor(array), Image.fromarray(array)]
    first, *others = predictor.predict(given)
    assert first.file == str(tmp_path / "x.png")
    assert others[1].file == "image 2"
    assert all(close(first, other) for other in others)


def test_the_first_bad_image_is_raised_and_each_is_told(predictor: Predictor, tmp_path: Path) -> None:
    given = [IMAGES["grey"], np.zeros((64, 64)), tmp_path / "none.png", IMAGES["chess"]]
    with pytest.raises(ImageError, match="image 1: the image is constant"):
        predictor.predict(given)
    told: list[int] = []
    found = predictor.predict_each(given, told.append)
    assert [isinstance(f, Failure) for f in found] == [False, True, True, False]
    assert sum(told) == 4
    assert predictor.predict([]) == []


def test_more_images_than_a_batch_holds_keep_their_order(predictor: Predictor) -> None:
    small, wide = (RNG.random((19, *shape)) for shape in ((40, 40), (40, 44)))
    mixed = [image for pair in zip(small, wide, strict=True) for image in pair]
    found = predictor.predict(mixed)
    for k in (0, 1, 17, 36, 37):
        assert close(found[k], predictor.predict(mixed[k])[0])


def test_a_hard_router_is_certain(card_path: Path) -> None:
    (found,) = load(card_path, router="hard").predict(IMAGES["grey"])
    assert found.probability == 1
    assert sorted(found.groups.values())[-2:] == [0, 1]


def test_a_partial_answer_says_what_is_sure_enough(card_path: Path) -> None:
    """Untrained nodes are sure of nothing: asked for certainty they leave all open, for half a chance a part."""
    tree = load_tree("wallpaper")
    (full,) = load(card_path).predict(IMAGES["grey"])
    assert full.candidates == (full.group,)
    assert full.statement.startswith(f"{full.group}, p = ")
    (none,) = load(card_path, min_confidence=1).predict(IMAGES["grey"])
    assert none.group is None
    assert none.periodic
    assert none.candidates == tree.labels
    assert (none.path, none.probability) == ((), pytest.approx(1))
    assert none.lattice is not None
    assert none.lattice.system == "oblique", "a cell of no group in particular"
    waves = np.cos(np.arange(96) / 4)  # of which no group is ruled out for want of a metric
    (some,) = load(card_path, router="climb", min_confidence=0.2).predict(waves[:, None] + waves)
    assert 1 < len(some.candidates) < 17
    assert some.group is None
    assert sum(some.groups[name] for name in some.candidates) == pytest.approx(some.probability)
    assert some.probability == pytest.approx(np.prod([step.probability for step in some.path]))
    assert some.path[-1].choice in some.statement
    assert load(card_path, router="climb").min_confidence == 0.9
    with pytest.raises(HierError, match=r"confidence of 1\.5"):
        load(card_path, min_confidence=1.5)
    json.loads(json.dumps(some.as_dict(), allow_nan=False))


def test_several_models_tell_how_far_they_disagree(card_path: Path, predictor: Predictor) -> None:
    (alone,) = predictor.predict(IMAGES["chess"])
    (twice,) = load([card_path, card_path]).predict(IMAGES["chess"])
    assert alone.disagreement is None
    assert twice.disagreement == pytest.approx(0, abs=1e-6)
    assert close(alone, twice)


@pytest.mark.parametrize(
    ("label", "reduced", "a", "b", "gamma", "system"),
    [
        ("p4m", [[30, 0], [0, 30]], 30, 30, 90, "square"),
        ("pmm", [[20, 0], [0, 30]], 20, 30, 90, "rectangular"),
        ("p6m", [[30, -15], [0, 15 * 3**0.5]], 30, 30, 120, "hexagonal"),
        ("p1", [[30, -10], [0, 40]], 30, 1700**0.5, 104.036, "oblique"),
        ("cmm", [[25, -7], [0, 24]], 30, 40, 90, "rectangular"),  # a rhombus of side 25: diagonals 30 and 40
        ("cm", [[20, -10], [0, 40]], 20, 80, 90, "rectangular"),  # a short vector along an axis
    ],
)
def test_cells_are_given_as_the_tables_have_them(
    label: str, reduced: list[list[float]], a: float, b: float, gamma: float, system: str
) -> None:
    cell = conventional(np.array(reduced, dtype=float), label)
    assert cell is not None
    assert (cell.a, cell.b, cell.gamma) == pytest.approx((a, b, gamma), rel=1e-3)
    assert cell.system == system
    assert cell.centred == label.startswith("c")


def test_large_images_are_looked_at_on_several_scales() -> None:
    image = torch.rand(3, 1200, 1600, generator=torch.Generator().manual_seed(0))
    made = views(image)
    assert made[0].scale == 1
    assert made[-1].image.shape[-1] * made[-1].scale == pytest.approx(1600, rel=0.01), "the last one shows all of it"
    for view in made:
        _, h, w = view.image.shape
        assert (h * w) ** 0.5 == pytest.approx(SIDE, rel=0.02)
        assert h / w == pytest.approx(1200 / 1600, rel=0.02)
    assert len(views(torch.zeros(3, 300, 200))) == 1
    for shape in ((34, 60_000), (90_000, 70)):
        assert all(min(view.image.shape[1:]) >= 34 for view in views(torch.zeros(3, *shape)))


def test_lengths_are_in_pixels_of_the_image_that_was_given(predictor: Predictor) -> None:
    y, x = np.mgrid[:1800, :1800]
    pattern = np.cos(2 * np.pi * x / 96) + np.cos(2 * np.pi * y / 140) + np.cos(2 * np.pi * (x / 96 + y / 140) + 1)
    (found,) = predictor.predict(pattern)
    assert found.lattice is not None
    area = found.lattice.a * found.lattice.b * np.sin(np.radians(found.lattice.gamma))
    assert area / (2 if found.lattice.centred else 1) == pytest.approx(96 * 140, rel=0.02)


trained = pytest.mark.skipif(not BUNDLED.exists(), reason="no bundled model yet")


@pytest.fixture(scope="module")
def bundled() -> Predictor:
    return load()


@trained
@pytest.mark.parametrize("name", ["p4m", "p31m"])
@pytest.mark.parametrize("source", ["atoms", "photos"])
def test_the_bundled_model_keeps_a_group_under_what_leaves_it_alone(bundled: Predictor, source: str, name: str) -> None:
    dataset = PatternDataset(source, 999_999_937, 256, groups=(name,), cells=(8, 30))  # type: ignore[arg-type]
    (image,) = dataset.batch([0])
    larger = torch.nn.functional.interpolate(image[None], scale_factor=1.5, mode="bicubic")[0].clamp(0, 1)
    changed = [image, image.rot90(1, (1, 2)), image.flip(2), 1 - image, 0.3 * image + 0.2, larger, image[:, 20:, 35:]]
    assert [found.group for found in bundled.predict(changed)] == [name] * len(changed)


@trained
def test_the_bundled_model_is_not_sure_of_a_group_where_there_is_none(bundled: Predictor) -> None:
    import skimage.data

    noise = np.random.default_rng(1).random((256, 256, 3))
    stripes = np.tile(np.sin(np.arange(256) / 6), (256, 1))
    photograph = skimage.data.coffee()[:, :400]
    for found in bundled.predict([noise, stripes, photograph]):
        assert not found.periodic, found.group
        assert found.group is None
        assert found.lattice is None
        assert sum(found.groups.values()) == pytest.approx(found.periodic_probability, abs=1e-4)


def seamless(side: int) -> NDArray[np.float32]:
    """A picture of p4 that is one repeat: noise, blurred around its edges, and the mean of its four turns."""
    noise = gaussian_filter(np.random.default_rng(side).random((side, side)), side / 24, mode="wrap")
    made = np.mean([np.rot90(noise, k) for k in range(4)], axis=0)
    scaled: NDArray[np.float32] = ((made - made.min()) / np.ptp(made)).astype(np.float32)
    return scaled


@pytest.mark.parametrize("side", [24, 96, 500])
def test_one_seamless_repeat_is_read_as_it_wraps(side: int) -> None:
    (found,) = load(BUNDLED).predict(seamless(side), Reading(tile=True))
    assert found.group == "p4"
    assert found.lattice is not None
    assert found.lattice.a == pytest.approx(side, rel=0.01)


def test_tiles_are_set_together_without_a_seam() -> None:
    for shape in ((5, 7), (300, 40, 3), (1500, 1600)):
        array = np.random.default_rng(0).random(shape)
        found = tiled(array)
        rows, columns = (n // m for n, m in zip(found.shape[:2], shape[:2], strict=True))
        assert rows == columns >= 2
        np.testing.assert_array_equal(found[: shape[0], -shape[1] :], array)


@pytest.mark.parametrize(
    ("basis", "label", "lengths", "angle"),
    [
        ([[24.0, 0.0], [0.0, 25.2]], "p4", 0.05, 0.0),
        ([[24.0, 0.0], [0.0, 25.2]], "pmm", 0.0, 0.0),
        ([[24.0, 0.0], [0.0, 25.2]], "p2", 0.0, 0.0),
        ([[20.0, -20 * np.cos(np.radians(63))], [0.0, 20 * np.sin(np.radians(63))]], "p6m", 0.0, 3.0),
        ([[20.0, -20 * np.cos(np.radians(63))], [0.0, 20 * np.sin(np.radians(63))]], "cmm", 0.0, 0.0),
    ],
)
def test_how_far_a_cell_is_from_what_its_group_needs(
    basis: list[list[float]], label: str, lengths: float, angle: float
) -> None:
    cell = conventional(np.array(basis), label)
    assert cell.off_lengths == pytest.approx(lengths, abs=1e-6)
    assert cell.off_angle == pytest.approx(angle, abs=1e-6)
