"""The widget: choose a layer, maybe a region and a tolerance, press the button; answer and layers appear."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image, Shapes
from napari.qt.threading import thread_worker
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QFormLayout, QLabel, QPushButton, QWidget

from ..hierarchy import HierError
from ..pipelines.answering.results import Prediction
from .find import NAMES, find, layers_of, pixel_size_of, pixels_of, rectangle_of, told

if TYPE_CHECKING:
    from napari.viewer import Viewer

WHOLE = "whole image"
FREE = "judged by the model"


def _found(*given: Any) -> Prediction | str:
    """What `find` returns, or why it does not: napari takes what a thread raises for a fault of the program."""
    try:
        return find(*given)
    except HierError as error:
        return str(error)


class GroupWidget(QWidget):  # type: ignore[misc]  # untyped
    """A form beside the viewer. The work is done in a thread, so that the window stays alive."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self.image, self.region = QComboBox(), QComboBox()
        self.tolerance = QDoubleSpinBox(decimals=3, singleStep=0.01, maximum=0.999)
        self.tolerance.setSpecialValueText(FREE)
        self.tolerance.setToolTip("Largest misfit that still counts as a symmetry: 0.02 asks for exactness")
        self.button, self.answer = QPushButton("Find the group"), QLabel()
        self.answer.setWordWrap(True)
        self.answer.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        form = QFormLayout(self)
        for text, field in (("Image", self.image), ("Region", self.region), ("Tolerance", self.tolerance)):
            form.addRow(text, field)
        form.addRow(self.button)
        form.addRow(self.answer)
        self.button.clicked.connect(self.run)
        for event in (viewer.layers.events.inserted, viewer.layers.events.removed):
            event.connect(self._list_layers)
        self._list_layers()

    def run(self) -> None:
        """Find the group of the chosen layer; what cannot be done is said in the form."""
        try:
            layer = self._chosen(self.image)
            if layer is None:
                raise HierError("no image layer: open an image first")
            pixels = pixels_of(layer, tuple(self.viewer.dims.current_step))
            shapes = self._chosen(self.region)
            crop = None if shapes is None else rectangle_of(shapes, layer)
            size = pixel_size_of(layer)
        except HierError as error:
            self.answer.setText(str(error))
            return
        tolerance = self.tolerance.value() or None
        self.button.setEnabled(False)
        self.answer.setText("...")
        self.worker = thread_worker(_found)(pixels, layer.name, crop, size, tolerance)
        self.worker.returned.connect(lambda found: self._show(found, layer))
        self.worker.finished.connect(lambda: self.button.setEnabled(True))
        self.worker.start()

    def _show(self, found: Prediction | str, layer: Image) -> None:
        if isinstance(found, str):
            self.answer.setText(found)
            return
        self.answer.setText(told(found))
        for name in (f"{layer.name}: {kind}" for kind in NAMES):
            if name in self.viewer.layers:
                self.viewer.layers.remove(name)
        try:
            made = layers_of(found, layer)
        except HierError as error:  # one colour, no lattice: the answer stands alone
            self.answer.setText(f"{told(found)}\n{error}")
            return
        for data, style, kind in made:
            getattr(self.viewer, f"add_{kind}")(data, **style)
        self.viewer.layers.selection.active = layer

    def _list_layers(self, event: Any = None) -> None:
        for box, kind, first in ((self.image, Image, ()), (self.region, Shapes, (WHOLE,))):
            before = box.currentText()
            names = [
                *first,
                *(la.name for la in self.viewer.layers if isinstance(la, kind) and not self._ours(la.name)),
            ]
            box.clear()
            box.addItems(names)
            box.setCurrentText(before if before in names else names[0] if names else "")

    def _ours(self, name: str) -> bool:
        return any(name.endswith(f": {kind}") for kind in NAMES)

    def _chosen(self, box: QComboBox) -> Any:
        return next((layer for layer in self.viewer.layers if layer.name == box.currentText()), None)
