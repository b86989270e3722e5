"""The picture of napari in docs/app.md: `python docs/napari_picture.py`, on a screen, or by xvfb-run."""

from __future__ import annotations

import time
from pathlib import Path

import napari
from hier.datasets import PatternDataset
from PIL import Image
from qtpy.QtWidgets import QApplication

from hier.napari.widget import GroupWidget

SIDE, SEED, GROUP = 192, 401, "p4m"


def main() -> None:
    """Find the group of a generated pattern and photograph the window."""
    viewer = napari.Viewer(show=False)
    dataset = PatternDataset("atoms", SEED, SIDE, groups=(GROUP,), cells=(12, 16))
    viewer.add_image(dataset.batch([0])[0].mean(0).numpy(), name="scan", scale=(0.5, 0.5), units=("nm", "nm"))
    widget = GroupWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Wallpaper group", area="right")
    viewer.window._qt_window.resize(1200, 800)
    widget.run()
    while not widget.button.isEnabled():
        QApplication.processEvents()
        time.sleep(0.02)
    QApplication.processEvents()
    shot = Image.fromarray(viewer.screenshot(canvas_only=False, flash=False)).convert("RGB")
    shot.quantize(128).save(Path(__file__).parent / "napari.png", optimize=True)


if __name__ == "__main__":
    main()
