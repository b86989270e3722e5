"""Maps of fields: domains are found where they are, and every window has the answer that it has alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from hier.datasets import Corruption, PatternDataset
from hier.datasets.textures import smooth_noise
from hier.hierarchy import HierError
from hier.models.classifier import Classifier
from hier.models.evidence.lattice import Lattice
from hier.models.straightening.families import PERSPECTIVE
from hier.models.straightening.fields import Field
from hier.models.straightening.plane import Lattice as Plane
from hier.pipelines.field.domains import as_arrays, domains
from hier.pipelines.field.lattice import cell_of, same_lattice
from hier.pipelines.field.measure import CELLS, map_field
from hier.pipelines.field.places import measured_places, starts
from hier.pipelines.field.plot import draw_map, shrunk
from hier.pipelines.field.straight import StraightWindows, best_map
from hier.pipelines.field.window import window_for
from hier.pipelines.loading import load
from hier.pipelines.reading.images import open_picture
from hier.pipelines.reading.picture import Picture
from PIL import Image
from typer.testing import CliRunner

from hier.cli.app import app

SIZE, WINDOW, STRIDE = 384, 128, 32
LABELS = ("plain", "turned")
SMALL = Plane(torch.eye(2) / 4, torch.zeros(2))


def pattern(name: str, area: float, size: int = SIZE) -> np.ndarray:  # type: ignore[type-arg]
    cells = (size**2 / area * 0.95, size**2 / area * 1.05)
    return PatternDataset("atoms", 5, size, groups=(name,), cells=cells).batch([0])[0].mean(0).numpy()


def noise(size: int) -> np.ndarray:  # type: ignore[type-arg]
    return np.clip(0.5 + 0.2 * smooth_noise(np.random.default_rng(3), 2.0, 1, size)[0], 0, 1)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def field() -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """A field of p4m, p6 and noise, and which of them (0, 1, 2) each px shows."""
    y, x = np.mgrid[:SIZE, :SIZE]
    where = np.where(x + y // 4 < 200, 0, np.where(y < 220, 1, 2))
    return np.choose(where, [pattern("p4m", 300), pattern("p6", 260), noise(SIZE)]).astype(np.float32), where


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier.load()


def test_domains_are_found_to_within_a_stride(field: tuple[Any, Any], classifier: Classifier, tmp_path: Path) -> None:
    image, where = field
    found = map_field(classifier, Picture(image), WINDOW, STRIDE)
    what = domains(found)
    names = np.array([classifier.labels.index("p4m"), classifier.labels.index("p6"), -1])
    middles = np.ix_(found.y.astype(int), found.x.astype(int))
    right = what.group == names[where[middles]]
    for i, j in np.argwhere(~right):
        y, x = int(found.y[i]), int(found.x[j])
        near = where[y - STRIDE : y + STRIDE + 1, x - STRIDE : x + STRIDE + 1]
        assert (names[near] == what.group[i, j]).any(), f"px {x}, {y} is far from any such domain"
    assert right.mean() > 0.8
    assert what.below.any()
    assert what.right.any()
    draw_map(image, found, what, tmp_path / "map.png")
    assert Image.open(tmp_path / "map.png").size[1] == SIZE
    arrays = as_arrays(found, what, None)
    assert arrays["group"].shape == arrays["a"].shape == arrays["measured"].shape == (9, 9)
    assert np.isnan(arrays["angle"][arrays["group"] < 0]).all()


def test_a_measured_window_has_the_answer_that_predict_gives_for_it_alone(
    field: tuple[Any, Any], classifier: Classifier
) -> None:
    image, _ = field
    part = image[120:312, 40:200]
    found = map_field(classifier, Picture(part), WINDOW, STRIDE, exact=True)
    assert found.measured.all()
    predictor = load(rectify="none")  # a map is straightened as a whole or not at all
    for i, j in ((0, 0), (1, 1), (2, 0)):
        top, left = int(found.y[i] - (WINDOW - 1) / 2), int(found.x[j] - (WINDOW - 1) / 2)
        (alone,) = predictor.predict(part[top : top + WINDOW, left : left + WINDOW])
        assert found.pattern[i, j] == pytest.approx(alone.periodic_probability, abs=2e-3)
        group = None if found.group[i, j] < 0 else found.labels[found.group[i, j]]
        assert group == alone.group
        if alone.group is not None:
            own = np.exp(found.log_probabilities[i, j])
            assert own == pytest.approx(list(alone.groups.values()), abs=2e-3)


class Stripes:
    """Stands for a classifier: what a window shows is read off its mean, and which windows were asked for is kept."""

    labels = LABELS
    device = torch.device("cpu")

    def __init__(self) -> None:
        self.seen = 0

    def answer(self, images: torch.Tensor, tolerance: float | None = None) -> SimpleNamespace:
        self.seen += len(images)
        left = images[:, 0].mean((1, 2)) > 0.5
        log = torch.where(left[:, None], torch.tensor([0.9, 0.1]), torch.tensor([0.1, 0.9])).log()
        basis = torch.eye(2)[None].expand(len(images), 2, 2) * 10
        ones = torch.ones(len(images))
        return SimpleNamespace(log_probabilities=log, pattern=ones, lattice=Lattice.alone(basis, ones, 0 * ones))


def halves(height: int, width: int, at: int) -> np.ndarray:  # type: ignore[type-arg]
    """Bright left of column `at`, dark right of it, with enough of a pattern not to be constant."""
    checks = np.indices((height, width)).sum(0) % 2 * 20
    return (checks + np.where(np.arange(width) < at, 200, 20)).astype(np.uint8)


def test_what_lies_between_places_that_agree_is_not_measured_but_boundaries_are() -> None:
    image = halves(512, 768, 300)
    stripes = Stripes()
    found = map_field(stripes, Picture(image), 64, 16)  # type: ignore[arg-type]
    whole = map_field(stripes, Picture(image), 64, 16, exact=True)  # type: ignore[arg-type]
    assert (found.group == whole.group).all()
    assert stripes.seen == found.measured.sum() + whole.measured.size
    assert found.measured.mean() < 0.4
    edge = np.argmax(np.diff(whole.group[0]) != 0)
    assert found.measured[:, edge : edge + 2].all()
    what = domains(found)
    assert what.right.any(1).all()
    assert not what.below.any()


def test_windows_are_read_one_by_one_from_files_that_stay_on_disk(tmp_path: Path) -> None:
    image = halves(300, 700, 300)
    np.save(tmp_path / "a.npy", image)
    tifffile.imwrite(tmp_path / "a.tif", image)
    for name in ("a.npy", "a.tif"):
        picture = open_picture(tmp_path / name, mapped=True)
        assert isinstance(picture.array, np.memmap)
        assert (np.asarray(picture.array) == image).all()

    class Watched:
        """An array that notes the most px that were read at once."""

        most = 0
        shape = image.shape

        def __getitem__(self, at: Any) -> Any:
            part = image[at]
            self.most = max(self.most, part.size)
            return part

    watched = Watched()
    found = map_field(Stripes(), Picture(watched), 64, 32)  # type: ignore[arg-type]
    assert watched.most == 64 * 64
    shrunk(watched, 40)  # type: ignore[arg-type]
    assert watched.most < image.size
    assert found.x[-1] == 700 - 64 + 31.5


def test_windows_reach_both_edges() -> None:
    assert starts(200, 64, 50).tolist() == [0, 50, 100, 136]
    assert starts(64, 64, 32).tolist() == [0]


def test_no_place_is_measured_twice() -> None:
    seen: list[tuple[int, int]] = []

    def measure(places: Sequence[tuple[int, int]]) -> None:
        seen.extend(places)

    done = measured_places(9, 6, 4, measure, lambda places: False)
    assert done.all()
    assert len(seen) == len(set(seen)) == 54
    assert measured_places(9, 6, 4, measure, lambda places: True).sum() == 9
    assert measured_places(1, 1, 4, measure, lambda places: True).all()


def test_a_lattice_is_one_by_whatever_basis_it_is_given() -> None:
    one = np.array([[20.0, -10], [0, 17]])
    other = one @ np.array([[1, 1], [0, 1]])
    half = one @ np.array([[0.5, 0], [0, 1]])
    turn = np.array([[0.9, -0.436], [0.436, 0.9]])
    bases = np.stack([one, other, one * 1.02, half, turn @ one, np.full((2, 2), np.nan)])
    assert same_lattice(one, bases).tolist() == [True, True, True, False, False, False]


def test_directions_count_counter_clockwise_as_seen() -> None:
    up = np.radians(20)
    a, b = 30 * np.array([np.cos(up), -np.sin(up)]), 40 * np.array([np.sin(up), np.cos(up)])
    assert cell_of(np.stack([a, b], 1), "pmm") == pytest.approx((30, 40, 90, 20))
    assert cell_of(np.stack([-a, b], 1), "pmm")[3] == pytest.approx(20)


def test_one_misread_window_is_outvoted_by_its_neighbours() -> None:
    found = map_field(Stripes(), Picture(halves(320, 320, 400)), 64, 16)  # type: ignore[arg-type]
    found.log_probabilities[5, 5] = [-30.0, 0.0]
    assert (domains(found).group == 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--window", "8"], "--window 8: give 32 to 512 px"),
        (["--window", "256"], "larger than the image of 200 x 160 px"),
        (["--stride", "0"], "--stride 0"),
        (["--stride", "200"], "would leave gaps"),
        (["--out", "map.jpg"], "ends in .png"),
        (["--pixel-size", "3 apples"], "--pixel-size 3 apples"),
        (["--page", "2"], "has no page 2"),
        (["--out", "a.npy/map.png"], "cannot write a.npy/map.png"),
    ],
)
def test_what_cannot_be_mapped_is_told(options: list[str], message: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", halves(160, 200, 90))
    result = CliRunner().invoke(app, ["map", "a.npy", "--device", "cpu", "--stride", "128", *options])
    assert isinstance(result.exception, HierError)
    assert message in str(result.exception)


def test_the_command_draws_and_keeps_arrays_and_warns_of_windows_too_small(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    image = pattern("p4m", 55**2, 256)
    image[:40, :40] = np.nan
    np.save("wide cells.npy", image)
    options = ["--window", "96", "--stride", "80", "--pixel-size", "0.1 nm", "--json", "--device", "cpu"]
    result = CliRunner().invoke(app, ["map", "wide cells.npy", *options])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["unreadable"] == 1
    assert "1 windows hold values that are NaN" in result.stderr
    assert told["picture"] == "wide cells_map.png"
    with np.load("wide cells_map.npz") as arrays:
        assert arrays["pixel_size"] == 0.1
        assert arrays["group"].shape == (told["rows"], told["columns"]) == (3, 3)
    assert "--window" in result.stderr


def test_pictures_of_any_field_can_be_drawn(tmp_path: Path) -> None:
    for shape in ((64, 64), (70, 900), (2000, 1500)):
        image = halves(*shape, 40)
        found = map_field(Stripes(), Picture(image), 64, 32)  # type: ignore[arg-type]
        draw_map(image, found, domains(found), tmp_path / "a.png")
        assert max(Image.open(tmp_path / "a.png").size) < 1500
    with pytest.raises(HierError, match="cannot write"):
        draw_map(image, found, domains(found), tmp_path / "a.png" / "a.png")


@pytest.fixture(scope="module")
def bent() -> tuple[PatternDataset, Any]:
    dataset = PatternDataset(
        "atoms", 31, 320, groups=("p4m",), cells=(60, 90), corruptions=(Corruption("bend", (5, 5)),)
    )
    return dataset, dataset.batch([0])[0].mean(0).numpy()


def test_a_bent_crystal_is_one_domain_on_the_image_as_it_is(
    bent: tuple[PatternDataset, Any], classifier: Classifier
) -> None:
    dataset, image = bent
    plain, before = best_map(classifier, Picture(image), WINDOW, STRIDE, rectify="none")
    found, what = best_map(classifier, Picture(image), WINDOW, STRIDE)
    assert before.below.sum() + before.right.sum() > 0
    assert found.field is not None
    assert not what.below.any()
    assert not what.right.any()
    assert (what.group == classifier.labels.index("p4m")).all()
    assert (found.x == plain.x).all()
    assert (found.y == plain.y).all()
    # the cell of each place is that of the pattern, as the distortion shows it there
    middle = (image.shape[0] - 1) / 2
    at = torch.from_numpy(np.stack(np.meshgrid(found.x - middle, found.y - middle), -1))
    (drawn,) = dataset.distortions(0)
    steps = [(drawn(at + e) - drawn(at - e)) / 2 for e in torch.eye(2, dtype=at.dtype)]
    slopes = torch.linalg.inv(torch.stack(steps, -1)).numpy()
    own = dataset.accepted([0])[0][0].frame.basis
    areas = abs(np.linalg.det(slopes)) * abs(np.linalg.det(own))
    assert abs(np.linalg.det(found.seen)) == pytest.approx(areas, rel=0.05)


def test_two_domains_are_not_straightened_into_one(field: tuple[Any, Any], classifier: Classifier) -> None:
    image, _ = field
    found, what = best_map(classifier, Picture(image), WINDOW, STRIDE)
    assert found.field is None
    assert (what.group == domains(map_field(classifier, Picture(image), WINDOW, STRIDE)).group).all()


def test_a_straight_window_is_read_from_the_part_of_the_picture_that_it_shows() -> None:
    image = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    none = Field(PERSPECTIVE, torch.zeros(2), SMALL, 0.0, 0.0, 1.0, 160, 120)
    cut = StraightWindows(image, none)
    for left, top in ((0, 0), (37, 21), (96, 56)):
        off = cut(left, top, 64).astype(int) - image[top : top + 64, left : left + 64]
        assert abs(off).max() <= 1  # positions are rounded, and so are the values
    tilted = StraightWindows(image, replace(none, parameters=torch.tensor([0.2, 0.1])))
    assert tilted(0, 0, 64).dtype == np.uint8
    assert tilted(0, 0, 64).shape == (64, 64, 3)
    near, far = (replace(tilted, focal=focal).linear for focal in (0.75, 3.0))
    assert np.linalg.cond(near) < np.linalg.cond(far)  # the same vanishing line is less of a tilt for a wide lens
    grey = StraightWindows(np.where(image[..., 0] > 250, np.nan, image[..., 0]), none)
    assert np.isnan(grey(0, 0, 64)).any()


@pytest.mark.parametrize("focal", ["0", "-1", "nan", "inf"])
def test_a_focal_length_of_a_map_has_to_be_one(tmp_path: Path, monkeypatch: Any, focal: str) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", halves(160, 200, 90))
    result = CliRunner().invoke(app, ["map", "a.npy", "--focal", focal])
    assert "--focal" in str(result.exception)
    assert "above 0" in str(result.exception)
    assert list(tmp_path.iterdir()) == [tmp_path / "a.npy"]


def test_how_a_map_is_straightened_has_to_be_known(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", halves(160, 200, 90))
    result = CliRunner().invoke(app, ["map", "a.npy", "--rectify", "perspective"])
    assert isinstance(result.exception, HierError)
    assert "--rectify" in str(result.exception)


def test_the_window_holds_nine_cells_of_every_lattice_in_the_field() -> None:
    """A p4m of 52 px: six cells in 128 px, where it is taken for a finer lattice, and a third of the field."""
    field = pattern("p6", 900, 400)
    field[:, 200:] = pattern("p4m", 52**2, 400)[:, 200:]
    side = window_for(Picture(field))
    assert side == 160
    assert side**2 / 52**2 > CELLS
    assert window_for(Picture(pattern("p6", 900, 400))) == 128
    assert window_for(Picture(noise(200))) == 128
    assert window_for(Picture(noise(100))) == 100


def test_maps_are_drawn_with_axes_and_a_bar_and_replaced_aloud(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", pattern("p4m", 400, 160))
    for name, known in (("a.svg", True), ("a.pdf", True), ("b.svg", False)):
        more = ["--pixel-size", "0.1nm"] if known else []
        for again in (False, True):
            told = CliRunner().invoke(app, ["map", "a.npy", "--out", name, "--stride", "128", "--device", "cpu", *more])
            assert told.exit_code == 0, told.output
            assert ("replaced" in told.output) == (again or name == "a.pdf"), "the arrays are there since a.svg"
            assert "windows of 128 px" in told.output
        if name.endswith(".svg"):
            drawn = Path(name).read_text(encoding="utf-8")
            assert f"x / {'nm' if known else 'px'}" in drawn
            assert ('id="bar"' in drawn) == known
            assert "p4m" in drawn
    refused = CliRunner().invoke(app, ["map", "a.npy", "--out", "a.jpg"])
    assert ".png, .svg, .pdf" in str(refused.exception)
