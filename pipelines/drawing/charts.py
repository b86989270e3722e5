"""Figures of a model's accuracy: reliability diagrams and confusion matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...hierarchy.names import in_picture
from ..measuring.metrics import Reliability

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 5
MANY = 8  # names of a matrix; more stand upright, and its texts are small
FADED, STRONG = "#b0a090", "#1f5fa8"


def reliability_figure(curves: Mapping[str, tuple[Reliability, Reliability]]) -> Figure:
    """One panel for each name, before and after calibration; the area of a dot grows with the images in its bin."""
    from matplotlib.figure import Figure

    rows = ceil(len(curves) / COLUMNS)
    figure = Figure(figsize=(2.6 * COLUMNS, 2.9 * rows + 0.5), layout="constrained")
    panels = figure.subplots(rows, COLUMNS, squeeze=False, sharex=True, sharey=True)
    for axes, (name, (before, after)) in zip(panels.flat, curves.items(), strict=False):
        axes.plot([0, 1], [0, 1], color="0.8", linewidth=1)
        _draw(axes, before, FADED, "before")
        _draw(axes, after, STRONG, "after")
        axes.set_title(f"{name}\nerror {before.error:.3f} → {after.error:.3f}", fontsize=10)
        axes.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04), aspect="equal")
    for axes in panels.flat[len(curves) :]:
        axes.axis("off")
    panels[0, 0].legend(fontsize=8, loc="upper left", frameon=False)
    figure.supxlabel("probability of the answer")
    figure.supylabel("share of correct answers")
    return figure


def _draw(axes: Axes, curve: Reliability, colour: str, label: str) -> None:
    some = curve.count > 0
    share = curve.count[some] / max(1, curve.count.sum())
    axes.plot(curve.confidence[some], curve.accuracy[some], color=colour, linewidth=1)
    axes.scatter(curve.confidence[some], curve.accuracy[some], s=12 + 90 * share, color=colour, label=label)


def confusion_figure(counts: list[list[int]], choices: list[str]) -> Figure:
    """The confusion matrix of one node."""
    from matplotlib.figure import Figure

    side = 1.6 + 0.8 * len(choices)
    figure = Figure(figsize=(side + 1.2, side), layout="constrained")
    draw_confusion(figure.add_subplot(), np.asarray(counts), choices)
    return figure


def draw_confusion(
    axes: Axes, counts: NDArray[np.integer], names: Sequence[str], texts: Sequence[Sequence[str]] | None = None
) -> None:
    """Counts (k, k) by true name (rows) and predicted name, shaded by the share of the row.

    `texts` (k, k) stand in the cells in place of the counts.
    """
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    many = len(names) > MANY
    upright: dict[str, Any] = {"rotation": 90} if many else {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
    shown = [in_picture(name) for name in names]
    axes.set_xticks(range(len(names)), shown, **upright)
    axes.set_yticks(range(len(names)), shown)
    axes.set(xlabel="predicted", ylabel="true")
    for (i, j), count in np.ndenumerate(counts):
        text = str(count) if texts is None else texts[i][j]
        colour = "white" if shares[i, j] > 0.5 else "black"
        axes.text(j, i, text, ha="center", va="center", color=colour, fontsize=7 if many else None)
