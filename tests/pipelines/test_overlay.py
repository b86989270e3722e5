"""Overlays: every element in view is drawn, once, where the group has it; files are what their names say."""

from __future__ import annotations

import io
import json
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from hier.datasets import PatternDataset, Pool
from hier.hierarchy import GROUP_NAMES, HierError, group
from hier.models.bundle import BUNDLED
from hier.pipelines.answering.predict import Predictor
from hier.pipelines.answering.results import Prediction
from hier.pipelines.answering.symmetry import Analysis, find_symmetry
from hier.pipelines.drawing.overlay import Elements, Scale, draw, encoded
from hier.pipelines.drawing.symbols import Frame, centres_within, lines_within
from hier.pipelines.loading import load
from hier.pipelines.reading.picture import Reading
from hier.pipelines.reporting.overlays import OverlayFiles
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from hier.cli.app import main

SVG = "{http://www.w3.org/2000/svg}"
SIDE = 120
VIEW = np.array([(-0.5, -0.5), (SIDE - 0.5, -0.5), (SIDE - 0.5, SIDE - 0.5), (-0.5, SIDE - 0.5)])
BASES = {
    "oblique": ((52.0, 5.0), (-13.0, -44.0)),
    "rectangular": ((50.0, -9.0), (-7.2, -40.0)),
    "square": ((48.0, -7.0), (-7.0, -48.0)),
    "hexagonal": ((46.0, 0.0), (-23.0, -23.0 * 3**0.5)),
}
with_model = pytest.mark.skipif(not BUNDLED.exists(), reason="no bundled model yet")


def frame_of(name: str) -> Frame:
    return Frame(np.array(BASES[group(name).lattice_system]).T, np.array([37.41, 71.93]))


def isometries(name: str, frame: Frame, reach: int = 5) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every operation with all lattice translations that matter, in px: x' = A x + t."""
    for op in group(name).operations:
        A = frame.basis @ np.array(op.W) @ np.linalg.inv(frame.basis)
        for i in range(-reach, reach + 1):
            for j in range(-reach, reach + 1):
                w = np.array([float(op.w[0]) + i, float(op.w[1]) + j])
                yield A, frame.basis @ w + (np.eye(2) - A) @ frame.origin


@pytest.mark.parametrize("name", GROUP_NAMES)
def test_centres_are_the_fixed_points_of_rotations_and_no_others(name: str) -> None:
    frame = frame_of(name)
    fixed: dict[tuple[int, int], int] = {}
    for A, t in isometries(name, frame):
        turn = np.degrees(np.arctan2(A[1, 0], A[0, 0]))
        if np.linalg.det(A) > 0 and abs(turn) > 1:
            at = np.linalg.solve(np.eye(2) - A, t)
            if (at > -0.5).all() and (at < SIDE - 0.5).all():
                key = tuple(np.rint(at * 4).astype(int))
                fixed[key] = max(fixed.get(key, 0), round(360 / abs(turn)))
    drawn = {tuple(np.rint(at * 4).astype(int)): n for n, at in centres_within(group(name), frame, VIEW)}
    assert len(drawn) == len(centres_within(group(name), frame, VIEW)), "none is drawn twice"
    assert drawn == fixed


@pytest.mark.parametrize("name", GROUP_NAMES)
def test_lines_are_those_that_reflections_map_onto_themselves(name: str) -> None:
    """Each line in view belongs to a reflection; it is a mirror if one of them moves nothing along it."""
    frame = frame_of(name)
    lines = lines_within(group(name), frame, VIEW)
    found: dict[tuple[int, int], bool] = {}
    for A, t in isometries(name, frame):
        if np.linalg.det(A) < 0:
            angle = np.arctan2(A[1, 0], A[0, 0]) / 2
            along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
            offset = t @ across / 2  # of the line from (0, 0) px
            key = _line_key(angle, offset)
            found[key] = found.get(key, True) and abs(t @ along) > 1e-6
    drawn = {}
    for line in lines:
        d = line.end - line.start
        angle = np.arctan2(d[1], d[0])
        drawn[_line_key(angle, line.start @ np.array([-np.sin(angle), np.cos(angle)]))] = line.glide
    assert len(drawn) == len(lines), "none is drawn twice"
    assert drawn.items() <= found.items()
    in_view = {k: v for k, v in found.items() if _length_in_view(k) > 3}
    assert in_view.items() <= drawn.items()


def _line_key(angle: float, offset: float) -> tuple[int, int]:
    whole = int(np.rint(np.degrees(angle) * 10)) % 3600
    if whole >= 1795:
        return (whole - 1800) % 1800 if whole >= 1800 else whole - 1800, int(np.rint(-offset * 4))
    return whole, int(np.rint(offset * 4))


def _length_in_view(key: tuple[int, int]) -> float:
    angle, offset = np.radians(key[0] / 10), key[1] / 4
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    points = offset * across + np.linspace(-400, 400, 8001)[:, None] * along
    return float(((points > 0) & (points < SIDE - 1)).all(1).sum() / 10)


@pytest.mark.parametrize("name", GROUP_NAMES)
def test_an_svg_holds_a_symbol_for_each_element(name: str) -> None:
    image, frame = torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(1)), frame_of(name)
    root = ElementTree.fromstring(encoded(draw(image, group(name), frame, ["a caption"]), ".svg"))
    elements = Elements.of(group(name), frame, Scale.of(frame, SIDE, SIDE), SIDE, SIDE)
    groups = {g.attrib["id"]: g for g in root.iter(f"{SVG}g") if "id" in g.attrib}
    for order in (2, 3, 4, 6):
        count = sum(n == order for n, _ in elements.centres)
        for suffix in ("", "-halo"):
            assert _parts(groups.get(f"rotation-{order}{suffix}")) == count
    for glide, kind in ((True, "glide"), (False, "mirror")):
        some = groups.get(kind)
        assert _parts(some) == sum(line.glide == glide for line in elements.lines)
        dashed = some is not None and "stroke-dasharray" in ElementTree.tostring(some, "unicode")
        assert dashed == (glide and some is not None)
    assert _parts(groups["lattice"]) == len(elements.lattice) > 2
    text = "".join(root.itertext())
    assert "a caption" in text, "text stays text"
    assert ("mirror" in text, "glide" in text) == ("mirror" in groups, "glide" in groups)


def _parts(element: ElementTree.Element | None) -> int:
    """Shapes drawn: matplotlib writes a path for each, or one path and its uses."""
    if element is None:
        return 0
    uses = list(element.iter(f"{SVG}use"))
    return len(uses) or len([p for p in element.iter(f"{SVG}path")])


@pytest.mark.parametrize("turns", [0, 1])
def test_the_whole_overlay_turns_with_the_image(turns: int, pool: Pool) -> None:
    """What is drawn on a turned image is what was drawn, turned: cell shape, centres and lines."""
    dataset = PatternDataset("photos", 12, 160, groups=("p4g", "pmg", "p31m"), cells=(5, 9), pool=pool)
    for label, image in zip(dataset.groups, dataset.batch(range(3)), strict=True):
        places = []
        for picture in (image, image.rot90(turns, (1, 2))):
            found = find_symmetry(Analysis.of(picture), label)
            middle = found.frame.px(np.zeros(2)) * 0 + 79.5
            region = VIEW * (150 / SIDE) + 5
            centres = [(n, at - middle) for n, at in centres_within(group(label), found.frame, region)]
            places.append(centres)
        turned = [(n, np.array([at[1], -at[0]]) if turns else at) for n, at in places[0]]
        inner = [(n, at) for n, at in turned if np.abs(at).max() < 66]
        assert len(inner) > 4
        for n, at in inner:
            near = min(places[1], key=lambda c, at=at: np.linalg.norm(c[1] - at))
            assert np.linalg.norm(near[1] - at) < 0.7
            assert near[0] == n


def test_small_cells_show_their_elements_in_the_middle_only() -> None:
    wide, small = Frame(np.diag([60.0, -60.0]), np.zeros(2)), Frame(np.diag([8.0, -8.0]), np.zeros(2))
    many = Elements.of(group("p4m"), wide, Scale.of(wide, 256, 256), 256, 256)
    few = Elements.of(group("p4m"), small, Scale.of(small, 256, 256), 256, 256)
    assert max(at[0] for _, at in many.centres) > 230
    assert max(abs(at - 127.5).max() for _, at in few.centres) < 16
    assert len(few.centres) == 9 * 4 + 3 * 4 + 1, "three cells by three, the border with them"
    assert all(np.abs(np.concatenate([line.start, line.end]) - 127.5).max() < 17 for line in few.lines)


def test_symbols_are_seen_on_dark_and_on_bright_ground() -> None:
    frame = frame_of("p4")
    for ground in (0.0, 1.0):
        image = torch.full((3, SIDE, SIDE), ground)
        with Image.open(io.BytesIO(encoded(draw(image, group("p4"), frame, ["p4"]), ".png"))) as picture:
            pixels = np.asarray(picture.convert("L"))[: picture.width]
        assert (pixels < 60).mean() > 0.004
        assert (pixels > 200).mean() > 0.004


def test_one_file_is_for_one_image(tmp_path: Path) -> None:
    with pytest.raises(HierError, match=r"give a folder, or \{name\}"):
        OverlayFiles(str(tmp_path / "x.png"), ["a.png", "b.png"])
    with pytest.raises(HierError, match=r"unknown kind of overlay '\.jpg'"):
        OverlayFiles(str(tmp_path / "x.jpg"), ["a.png"])
    images = ["a/x.png", "b/x.png", "stack.h5::/entry/data", "x.tif"]
    files = OverlayFiles(str(tmp_path / "{name}.svg"), images)
    names = [path.name for image in images for path in files.paths[image]]
    assert names == ["x.svg", "x-2.svg", "data.svg", "x-3.svg"]
    assert OverlayFiles(str(tmp_path), ["q.png"]).paths["q.png"][0] == tmp_path / "q_overlay.png"


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return load()


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (image,) = PatternDataset("atoms", 77, 160, groups=("p4m",), cells=(6, 9)).batch([0])
    path = tmp_path_factory.mktemp("images") / "atoms p4m.png"
    Image.fromarray((image * 255).byte().permute(1, 2, 0).numpy()).save(path)
    return path


@with_model
def test_predictions_carry_their_operations_and_plot_themselves(predictor: Predictor, pattern: Path) -> None:
    (found,) = predictor.predict(pattern)
    assert found.group == "p4m"
    assert len(found.operations) == 7
    assert all(o.score > 0.99 for o in found.operations)
    told = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert told["symmetry"]["operations"][0]["kind"] == "rotation"
    assert "source" not in told
    assert [len(step["choices"]) for step in told["path"]] == [5, 2, 2]
    assert sum(told["path"][0]["choices"].values()) == pytest.approx(1, abs=1e-4)
    assert found.plot().get_axes()
    travelled = pickle.loads(pickle.dumps(found))
    assert travelled == found
    assert travelled.plot().get_axes()
    (bare,) = predictor.predict_each([pattern])
    assert isinstance(bare, Prediction)
    assert bare.operations == ()
    with pytest.raises(HierError, match="symmetry=True"):
        bare.plot()


@with_model
def test_a_refused_image_shows_the_lattice_that_was_tried(predictor: Predictor) -> None:
    rng = np.random.default_rng(1)
    (found,) = predictor.predict(rng.integers(0, 255, (160, 120), dtype=np.uint8), keep=True)
    assert (found.periodic, found.symmetry) == (False, None)
    assert found.tried is not None
    assert found.tried.view == (0, 0, 120, 160)
    assert found.tried.origin == pytest.approx((59.5, 79.5))
    (axes, beside, margin) = found.plot().get_axes()
    drawn = {c.get_gid() for c in (*axes.collections, *axes.patches)}
    assert drawn <= {"lattice", "lattice-halo", "cell", "cell-halo", "best", "best-halo"}
    assert "cell" in drawn
    (surface,) = (np.asarray(shown.get_array()) for shown in beside.images)
    np.testing.assert_allclose(surface, surface[::-1, ::-1], atol=1e-5)
    assert surface.argmax() == surface.size // 2, "no shift repeats an image better than none"
    assert margin.texts[0].get_text().startswith("not periodic")
    assert [line for line in found.as_dict()["advice"] if "--basis" in line]
    (undecided,) = Predictor(predictor.classifier, min_confidence=1.0).predict(
        PatternDataset("atoms", 3, 160).batch([4])[0], keep=True
    )
    assert (undecided.group, undecided.periodic) == (None, True)
    assert undecided.plot().get_axes()[1].texts[0].get_text() == undecided.statement


@with_model
def test_a_notebook_shows_the_overlay_as_long_as_the_image_is_there(predictor: Predictor, pattern: Path) -> None:
    image = np.asarray(Image.open(pattern))
    (found,) = predictor.predict(image)
    (kept,) = predictor.predict(np.array(image), keep=True)
    assert "data:image/png;base64," in found._repr_html_()
    assert "&gt;99.9 %" in found._repr_html_() or "%" in found._repr_html_()
    del image
    shown = found._repr_html_()
    assert "data:image" not in shown
    assert "no longer in memory" in shown
    assert "data:image/png;base64," in kept._repr_html_()


@with_model
def test_lengths_are_in_the_pixels_unit(predictor: Predictor, pattern: Path) -> None:
    from hier.pipelines.answering.figure import caption

    (found,) = predictor.predict(pattern, Reading.of(pixel_size="0.02nm"))
    assert found.symmetry is not None
    length = abs(float(np.linalg.det(np.array([found.symmetry.a, found.symmetry.b])))) ** 0.5  # one, of a square
    lines = caption(found)
    assert lines[0].startswith("p4m (p4mm)   ")
    assert f"a = {length * 0.02:.4g} nm ({length:.2f} px)" in lines[1]
    assert lines[2] == "atoms p4m.png"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """`hier predict` in this process; its exit code."""
    monkeypatch.setattr(sys, "argv", ["hier", "predict", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


@with_model
def test_the_command_draws_and_says_what_it_does_not_draw(
    pattern: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).integers(0, 255, (96, 96), dtype=np.uint8)
    Image.fromarray(noise).save("noise.png")
    Image.new("L", (96, 96), 90).save("flat.png")
    images = (str(pattern), "noise.png", "flat.png")
    assert run(monkeypatch, *images, "--overlay", "out/{name}.svg", "--report", "out.html", "--json") == 2
    told = capsys.readouterr()
    entries = json.loads(told.out)
    assert [bool(entry.get("symmetry")) for entry in entries] == [True, False, False]
    assert "rotation-4" in Path("out/atoms_p4m.svg").read_text(encoding="utf-8")
    refused = Path("out/noise.svg").read_text(encoding="utf-8")
    assert "not periodic" in refused
    assert f"correlation of {entries[1]['tried']['level']:.2f}" in refused
    assert "rotation-" not in refused
    assert not Path("out/flat.svg").exists()
    page = Path("out.html").read_text(encoding="utf-8")
    assert page.count("<section") == 3
    assert "The best lattice that was tried" in page
    assert run(monkeypatch, *images, "--overlay", "one.png") == 2
    assert not Path("one.png").exists()
    before = pattern.read_bytes()
    assert run(monkeypatch, str(pattern), "--overlay", str(pattern)) == 2
    assert "is an input of this command" in capsys.readouterr().err
    assert pattern.read_bytes() == before


@with_model
def test_a_figure_for_a_journal(predictor: Predictor, pattern: Path) -> None:
    """As wide as asked, its letters apart, with a bar as long as the pixels say, or the image alone."""
    (found,) = predictor.predict(pattern, Reading.of(pixel_size="0.02nm"))
    for width in (85, 120, 180, None):
        figure = found.plot(width)
        if width is not None:
            assert 25.4 * figure.get_figwidth() == pytest.approx(width)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        (*_, margin) = figure.get_axes()
        boxes = [text.get_window_extent(canvas.get_renderer()) for text in margin.texts]
        assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y0 >= 0 for box in boxes), "nothing is cut off"
        assert not [1 for k, one in enumerate(boxes) for other in boxes[:k] if one.overlaps(other)], width
        image = figure.get_axes()[0]
        (bar,) = (patch for patch in image.patches if patch.get_gid() == "bar" and patch.get_facecolor()[0] < 0.5)
        (length,) = (text.get_text() for text in image.texts if text.get_gid() == "bar-length")
        assert bar.get_width() * 0.02 == pytest.approx(float(length.removesuffix(" nm")))
    (plain,) = found.plot(caption=False).get_axes()
    assert [round(x, 6) for x in plain.get_position().bounds] == [0, 0, 1, 1], "the image fills the figure"
    (unknown,) = predictor.predict(pattern)
    assert not [text for text in unknown.plot().get_axes()[0].texts if text.get_gid() == "bar-length"]


@with_model
def test_the_command_draws_at_the_images_own_resolution(
    pattern: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    small = np.asarray(Image.open(pattern))
    times = -(-1800 // min(small.shape[:2]))
    large = np.kron(small[..., 0] if small.ndim == 3 else small, np.ones((times, times), dtype=np.uint8))
    Image.fromarray(large).save("large.png")
    assert run(monkeypatch, "large.png", "--overlay", "a.png", "--no-caption") == 0
    assert all(a >= b for a, b in zip(Image.open("a.png").size, large.shape[::-1], strict=True))
    assert run(monkeypatch, str(pattern), "--overlay", "b.png", "--size", "85", "--dpi", "600") == 0
    assert Image.open("b.png").size[0] == pytest.approx(85 / 25.4 * 600, abs=1)
    assert run(monkeypatch, str(pattern), "--dpi", "600") == 2
    assert "--overlay" in capsys.readouterr().err
