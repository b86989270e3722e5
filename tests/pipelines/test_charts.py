"""One confusion matrix for nodes and for benchmarks."""

from __future__ import annotations

import numpy as np
from hier.pipelines.drawing.charts import confusion_figure, draw_confusion
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure


def test_rows_are_true_and_columns_predicted() -> None:
    (axes,) = confusion_figure([[3, 1], [0, 8]], ["p4m", "p4g"]).axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")
    shown = {(*text.get_position(), text.get_text()) for text in axes.texts}
    assert shown == {(0, 0, "3"), (1, 0, "1"), (0, 1, "0"), (1, 1, "8")}  # x, y downwards
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.75, 0.25], [0, 1]])


def test_other_texts_stand_in_the_cells_and_can_be_read() -> None:
    axes = Figure().add_subplot()
    draw_confusion(
        axes, np.eye(9, dtype=int), [f"c{k}" for k in range(9)], [[f"{i}{j}" for j in range(9)] for i in range(9)]
    )
    assert {text.get_text() for text in axes.texts} >= {"00", "08", "80"}
    assert {to_rgb(t.get_color())[0] for t in axes.texts if t.get_text() in ("00", "08")} == {0.0, 1.0}
