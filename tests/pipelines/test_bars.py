"""Info bars, borders, scale bars, rectangles and masks: what is no part of a pattern is not judged, all else is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from hier.datasets import PatternDataset
from hier.hierarchy import HierError
from hier.pipelines.reading.bands import edge_bands
from hier.pipelines.reading.images import ImageError, read
from hier.pipelines.reading.left_out import LeftOut, parse_box, without_bars
from hier.pipelines.reading.picture import Reading
from hier.pipelines.reading.scale_bars import largest_free, scale_bar
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw

import hier
from hier.cli.app import main

SIDES = ("left", "top", "right", "bottom")


def pattern(source: str = "noise", index: int = 3, size: int = 256, **how: Any) -> NDArray[np.uint8]:
    image = PatternDataset(source, 77, size, **how).batch([index])[0]  # type: ignore[arg-type]
    return np.ascontiguousarray((image * 255).round().byte().permute(1, 2, 0).numpy())


def written(width: int, height: int, ground: int) -> NDArray[np.uint8]:
    """A bar with words and a scale bar in it."""
    bar = Image.new("RGB", (width, height), (ground,) * 3)
    ink, draw = (255 - ground,) * 3, ImageDraw.Draw(bar)
    draw.text((5, height // 4), "15.0 kV   x 50,000", fill=ink)
    draw.rectangle((width - 70, height // 3, width - 20, height // 3 + 3), fill=ink)
    return np.asarray(bar)


def barred(image: NDArray[np.uint8], px: int = 30, ground: int = 255) -> NDArray[np.uint8]:
    return np.concatenate([image, written(image.shape[1], px, ground)])


def floats(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    return image.astype(np.float32) / 255


@pytest.fixture(scope="module")
def predictor() -> hier.Predictor:
    return hier.load()


@pytest.mark.parametrize("ground", [0, 255])
@pytest.mark.parametrize("px", [14, 40])
def test_an_info_bar_is_cut_to_the_px(ground: int, px: int) -> None:
    image = pattern()
    box, found = without_bars(floats(barred(image, px, ground)))
    assert box == (0, 0, 256, 256)
    assert found == [LeftOut("info bar", "bottom", (0, 256, 256, px))]
    assert str(found[0]) == f"info bar, {px} px at the bottom"


@settings(max_examples=25, deadline=None)
@given(
    widths=st.tuples(*[st.sampled_from((0, 0, 5, 17, 38))] * 4), grey=st.sampled_from((0, 128, 255)),
    turn=st.integers(0, 3), index=st.integers(0, 40),
)  # fmt: skip
def test_borders_are_cut_on_each_side_however_the_image_is_turned(
    widths: tuple[int, int, int, int], grey: int, turn: int, index: int
) -> None:
    image = pattern("noise", index, 128)
    left, top, right, bottom = widths
    framed = np.pad(image, ((top, bottom), (left, right), (0, 0)), constant_values=grey)
    box, bands = edge_bands(np.rot90(floats(framed), turn))
    turned = [widths[(k + turn) % 4] for k in range(4)]
    assert {band.side: band.px for band in bands} == {s: w for s, w in zip(SIDES, turned, strict=True) if w}
    assert box == (turned[0], turned[1], 128, 128)
    assert all(band.plain for band in bands)


@pytest.mark.parametrize("source", ["atoms", "noise", "outlines"])
@pytest.mark.parametrize("how", [{}, {"orientation": "aligned"}])
def test_patterns_without_bars_are_not_cut(source: str, how: dict[str, str]) -> None:
    size = 192
    for index in range(17):
        image = floats(pattern(source, index, size, **how))
        assert without_bars(image) == ((0, 0, size, size), []), index


def test_stripes_bricks_checks_and_dots_are_not_cut() -> None:
    """They have rows of one colour at the edge, and the like of them in the inside, wherever the edge is."""
    y, x = np.mgrid[:300, :300]
    for start in range(0, 40, 3):
        stripes = (y + start) // 13 % 2 == 0
        bricks = ((y + start) % 40 < 6) | ((x + start + 35 * ((y + start) // 40 % 2)) % 70 < 6)
        checks = ((y + start) // 20 + x // 20) % 2 == 0
        dots = ((y + start) % 40 - 20) ** 2 + (x % 40 - 20) ** 2 < 100
        uneven = ((y + start) % 100 < 45) | ((x % 30 < 15) & ((y + start) % 100 < 70))
        for k, drawn in enumerate((stripes, bricks, checks, dots, uneven)):
            for image in (drawn, ~drawn, drawn.T):
                grey = np.repeat(np.float32(image)[..., None], 3, -1)
                assert without_bars(grey) == ((0, 0, 300, 300), []), (start, k)


@pytest.mark.parametrize("name", ["brick", "gravel", "grass", "checkerboard", "coins", "camera", "page"])
def test_pictures_of_scikit_image_are_not_cut(name: str) -> None:
    image = getattr(skimage.data, name)()
    height, width = image.shape[:2]
    assert read(image).box is None
    assert without_bars(floats(image)[..., None]) == ((0, 0, width, height), [])


@pytest.mark.parametrize(("ink", "ground"), [(255, None), (0, None), (0, 255), (255, 0)])
@pytest.mark.parametrize("corner", [(10, 230), (150, 230), (150, 20)])
def test_a_scale_bar_is_found_with_what_belongs_to_it(ink: int, ground: int | None, corner: tuple[int, int]) -> None:
    picture = Image.fromarray(pattern())
    (x, y), draw = corner, ImageDraw.Draw(picture)
    if ground is not None:
        draw.rectangle((x - 5, y - 18, x + 65, y + 10), fill=(ground,) * 3)
    draw.rectangle((x, y, x + 59, y + 4), fill=(ink,) * 3)
    draw.text((x + 15, y - 14), "5 nm", fill=(ink,) * 3)
    found = scale_bar(floats(np.asarray(picture)))
    assert found is not None
    left, top, width, height = found.box
    assert left <= x
    assert left + width >= x + 60
    assert top <= y - 8
    assert top + height >= y + 5
    assert height < 64
    box = largest_free(256, 256, found.box)
    assert box[2] * box[3] > 0.6 * 256**2


def test_bars_that_recur_are_a_pattern() -> None:
    image = np.full((240, 240, 1), 0.5, np.float32)
    for y in range(10, 240, 60):
        for x in range(10, 240, 80):
            image[y : y + 6, x : x + 50] = 1
    assert scale_bar(image) is None


def test_what_is_judged_is_what_cropping_by_hand_gives(predictor: hier.Predictor) -> None:
    image = pattern(index=5)
    answers = [
        predictor.predict(image)[0], predictor.predict(barred(image))[0],
        predictor.predict(barred(image), crop=(0, 0, 256, 256))[0],
    ]  # fmt: skip
    assert len({answer.group for answer in answers}) == 1
    assert len({answer.probability for answer in answers}) == 1
    assert [len(answer.left_out) for answer in answers] == [0, 1, 0]
    assert [answer.judged for answer in answers] == [None, (0, 0, 256, 256), (0, 0, 256, 256)]


def test_sixteen_bits_are_scaled_by_what_is_judged() -> None:
    """A bar of 65535 must not leave a faint pattern in two of 256 greys."""
    faint = (1000 + 2 * pattern()[..., 0].astype(np.uint16)).astype(np.uint16)
    bar = np.full((30, 256), 65535, np.uint16)
    bar[10:20, 20:90:2] = 0
    found = read(np.concatenate([faint, bar]))
    assert found.box == (0, 0, 256, 256)
    assert torch.equal(found.judged, read(faint).image)


def test_places_stay_those_on_the_whole_image(predictor: hier.Predictor) -> None:
    image = pattern(index=16)
    plain = predictor.predict(image, keep=True)[0]
    whole = np.concatenate([written(256, 40, 0), image])
    found = predictor.predict(whole, keep=True)[0]
    assert plain.symmetry is not None
    assert found.symmetry is not None
    assert found.group == plain.group
    assert found.symmetry.view == (0, 40, 256, 256)
    assert found.symmetry.origin == pytest.approx(np.add(plain.symmetry.origin, (0, 40)))
    axes = found.plot().axes[0]
    assert axes.get_ylim()[0] == 295.5  # all of the image is drawn
    drawn = np.concatenate([line for lines in axes.collections for line in getattr(lines, "get_segments", list)()])
    assert drawn[:, 1].min() >= 39


def test_our_scale_bar_does_not_lie_on_the_info_bar(predictor: hier.Predictor, tmp_path: Path) -> None:
    Image.fromarray(np.concatenate([pattern(index=16), written(256, 40, 0)])).save(tmp_path / "a.png")
    (found,) = predictor.predict([tmp_path / "a.png"], Reading.of(pixel_size="0.02nm"))
    assert found.judged == (0, 0, 256, 256)
    bars = [patch for patch in found.plot().axes[0].patches if patch.get_gid() == "bar"]
    assert len(bars) == 2
    assert all(bar.get_y() > 200 and bar.get_y() + bar.get_height() < 256 for bar in bars)  # type: ignore[attr-defined]


def test_a_mask_takes_a_defect_away(predictor: hier.Predictor) -> None:
    image = pattern(index=8)
    truth = PatternDataset("noise", 77, 256).label(8)
    mask = np.zeros((256, 256), bool)
    mask[:, 200:] = True
    mask[30:90, 40:120] = True
    spoilt = image.copy()
    spoilt[mask] = np.random.default_rng(0).integers(0, 255, (int(mask.sum()), 3))
    found = predictor.predict(spoilt, mask=mask)[0]
    assert found.group == truth
    assert found.judged == (0, 0, 200, 256)
    assert [one.kind for one in found.left_out] == ["mask"]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"crop": (200, 0, 100, 100)}, "--crop 200,0,100,100: the rectangle ends at (300, 100), outside the image"),
        ({"crop": (0, 0, 20, 100)}, "at least 32 px a side"),
        ({"mask": np.zeros((9, 9))}, "--mask: the mask is 9 x 9 px, the image is 256 x 256 px"),
        ({"mask": np.ones((256, 256))}, "--mask hides all"),
    ],
)
def test_errors_name_the_option_and_what_to_do(how: dict[str, Any], said: str) -> None:
    with pytest.raises(ImageError, match=r"^--") as caught:
        read(pattern(), Reading.of(**how))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "1,2,3", "a,b,c,d", "1,2,3,-4", "0 0 5 5"])
def test_a_rectangle_is_four_numbers(text: str) -> None:
    with pytest.raises(HierError, match="give X,Y,W,H"):
        parse_box(text)


def test_a_seamless_repeat_has_no_parts() -> None:
    with pytest.raises(HierError, match="--tile"):
        Reading.of(tile=True, crop="0,0,64,64")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("bars") / "sem.png"
    Image.fromarray(barred(pattern(index=5))).save(made)
    return made


def run(*words: str, code: int = 0) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["hier", "predict", *words, "--device", "cpu"])
        with pytest.raises(SystemExit) as done:
            main()
    assert done.value.code == code


def answered(*words: str, capfd: pytest.CaptureFixture[str]) -> Any:
    run(*words, "--json")
    return json.loads(capfd.readouterr().out)[0]


def test_the_command_says_what_was_cut(file: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    overlay, report = tmp_path / "o.svg", tmp_path / "r.html"
    run(str(file), "--overlay", str(overlay), "--report", str(report))
    out = capfd.readouterr().out
    assert "cut: info bar, 30 px at the bottom" in out
    assert "judged: 256 x 256 px from (0, 0)" in out
    for made in (overlay, report):
        assert "info bar, 30 px at the bottom" in made.read_text(encoding="utf-8")
    found = answered(str(file), capfd=capfd)
    assert found["left_out"] == [{"kind": "info bar", "where": "bottom", "box": [0, 256, 256, 30]}]
    assert found["judged"] == [0, 0, 256, 256]
    kept = answered(str(file), "--no-cut", capfd=capfd)
    assert kept["left_out"] == []
    assert kept["judged"] is None


@pytest.mark.parametrize("option", ["--crop", "--region"])
def test_the_command_takes_a_rectangle(option: str, file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = answered(str(file), option, "20,10,200,220", capfd=capfd)
    assert found["judged"] == [20, 10, 200, 220]
    assert found["symmetry"]["view"] == [20, 10, 200, 220]


def test_the_command_takes_a_mask(file: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    mask = np.zeros((286, 256), np.uint8)
    mask[:40] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    found = answered(str(file), "--mask", str(tmp_path / "mask.png"), capfd=capfd)
    assert [one["kind"] for one in found["left_out"]] == ["mask", "info bar"]
    assert found["judged"] == [0, 40, 256, 216]
    run(str(file), "--mask", str(tmp_path / "none.png"), code=2)
    said = capfd.readouterr().err
    assert "none.png" in said
    assert "Traceback" not in said
