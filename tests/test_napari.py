"""The plugin for napari, with a viewer that has no window and with the widget on a screen that nobody sees."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hier.datasets import PatternDataset
from hier.hierarchy import HierError

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
napari = pytest.importorskip("napari")
pytest.importorskip("npe2")
pytest.importorskip("qtpy.QtWidgets", exc_type=ImportError)

from napari.components import ViewerModel  # noqa: E402
from npe2 import PluginManifest  # noqa: E402
from qtpy.QtWidgets import QApplication  # noqa: E402

from hier.napari import find  # noqa: E402
from hier.napari.widget import FREE, GroupWidget  # noqa: E402

FOLDER = Path(find.__file__).parent


@pytest.fixture(scope="module")
def pattern() -> np.ndarray[Any, Any]:
    dataset = PatternDataset("atoms", 401, 192, ("p4m",), cells=(12, 16))
    pixels: np.ndarray[Any, Any] = dataset.batch([0])[0].mean(0).numpy()
    return pixels


@pytest.fixture(scope="module")
def application() -> QApplication:
    return QApplication.instance() or QApplication([])


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def widget(application: QApplication, viewer: ViewerModel) -> GroupWidget:
    return GroupWidget(viewer)


@pytest.fixture
def press(application: QApplication, widget: GroupWidget) -> Callable[[], str]:
    def pressed() -> str:
        widget.button.click()
        end = time.monotonic() + 120
        while not widget.button.isEnabled() or widget.answer.text() == "...":
            assert time.monotonic() < end
            application.processEvents()
            time.sleep(0.01)
        text: str = widget.answer.text()
        return text

    return pressed


def test_the_manifest_is_valid_and_names_what_is_there() -> None:
    manifest = PluginManifest.from_file(FOLDER / "napari.yaml")
    (command,) = manifest.contributions.commands
    manifest.validate_imports()
    assert command.python_name == "hier.napari.widget:GroupWidget"
    assert [w.command for w in manifest.contributions.widgets] == [command.id]


def test_the_button_finds_the_group_and_draws_it(
    viewer: ViewerModel, widget: GroupWidget, press: Any, pattern: Any
) -> None:
    assert press() == "no image layer: open an image first"
    viewer.add_image(pattern, name="scan", scale=(0.5, 0.5), translate=(10, 20), units=("nm", "nm"))
    assert widget.image.currentText() == "scan"
    assert widget.tolerance.text() == FREE
    text = press()
    assert text.startswith("p4m (p4mm)")
    assert "rotation: order 4" in text
    assert "nm" in text
    assert {f"scan: {kind}" for kind in find.NAMES} == {layer.name for layer in viewer.layers} - {"scan"}
    centres = viewer.layers["scan: rotation centres"]
    assert set(centres.features["order"]) == {2, 4}
    # each fourfold centre is one of the image: a quarter turn about it changes nothing
    rows, columns = np.mgrid[-20:21, -20:21]
    fourfold = centres.data[np.array(centres.features["order"]) == 4]
    places = [np.rint(viewer.layers["scan"].world_to_data(at)).astype(int) for at in fourfold]
    near = [at for at in places if at.min() > 25 and at.max() < 165]
    assert near
    for y, x in near[:4]:
        patch = pattern[y + rows, x + columns]
        assert np.corrcoef(patch.ravel(), np.rot90(patch).ravel())[0, 1] > 0.9
    before = len(viewer.layers)
    press()
    assert len(viewer.layers) == before  # drawn anew, not twice


def test_a_rectangle_chooses_the_part_that_is_judged(
    viewer: ViewerModel, widget: GroupWidget, press: Any, pattern: Any
) -> None:
    noise = np.random.default_rng(1).random((192, 300))
    noise[:, 108:] = pattern
    viewer.add_image(noise, name="view")
    viewer.add_shapes([np.array([(5, 110), (5, 298), (190, 298), (190, 110)])], name="crystal")
    widget.region.setCurrentText("crystal")
    assert find.rectangle_of(viewer.layers["crystal"], viewer.layers["view"]) == (110, 5, 189, 186)
    assert press().startswith("p4m (p4mm)")
    cell = viewer.layers["view: cell"].data[0]
    assert cell[:, 1].min() > 100
    viewer.add_shapes(name="empty")
    widget.region.setCurrentText("empty")
    assert "has no shape" in press()


def test_stacks_and_colours_show_the_picture_at_hand(viewer: ViewerModel, press: Any, pattern: Any) -> None:
    stack = np.stack([np.zeros_like(pattern), pattern])
    layer = viewer.add_image(stack, name="series")
    viewer.dims.set_current_step(0, 1)
    assert np.array_equal(find.pixels_of(layer, viewer.dims.current_step), pattern)
    assert press().startswith("p4m (p4mm)")
    colour = viewer.add_image(np.stack([pattern] * 3, -1), name="colour", rgb=True)
    assert find.pixels_of(colour, viewer.dims.current_step).shape == (192, 192, 3)


def test_what_cannot_be_used_is_said_in_the_form(viewer: ViewerModel, press: Any) -> None:
    viewer.add_image(np.full((64, 64), 3.0), name="flat")
    assert press().endswith("the image is constant: nothing to analyse")
    assert len(viewer.layers) == 1


def test_only_square_pixels_with_a_length_have_a_size(viewer: ViewerModel, pattern: Any) -> None:
    sized = viewer.add_image(pattern, scale=(0.2, 0.2), units=("nm", "nm"))
    assert str(find.pixel_size_of(sized)) == "0.2 nm"
    assert find.pixel_size_of(viewer.add_image(pattern, scale=(0.2, 0.3), units=("nm", "nm"))) is None
    assert find.pixel_size_of(viewer.add_image(pattern)) is None


def test_a_rectangle_beside_the_image_is_an_error(viewer: ViewerModel, pattern: Any) -> None:
    image = viewer.add_image(pattern, name="scan")
    shapes = viewer.add_shapes([np.array([(5, 910), (5, 998), (190, 998), (190, 910)])], name="far")
    with pytest.raises(HierError, match="far lies outside scan"):
        find.rectangle_of(shapes, image)
