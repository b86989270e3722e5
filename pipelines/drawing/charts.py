"""Figures of how right a model is: reliability diagrams and confusion matrices."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from ..measuring.metrics import Reliability

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 5
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
    figure.supylabel("share of right answers")
    return figure


def _draw(axes: Axes, curve: Reliability, colour: str, label: str) -> None:
    some = curve.count > 0
    share = curve.count[some] / max(1, curve.count.sum())
    axes.plot(curve.confidence[some], curve.accuracy[some], color=colour, linewidth=1)
    axes.scatter(curve.confidence[some], curve.accuracy[some], s=12 + 90 * share, color=colour, label=label)


def confusion_figure(counts: list[list[int]], choices: list[str]) -> Figure:
    """Counts in cells, shaded by the share of the row: truth downwards, answers across."""
    from matplotlib.figure import Figure

    table = np.asarray(counts)
    shares = table / np.maximum(table.sum(1, keepdims=True), 1)
    side = 1.6 + 0.8 * len(choices)
    figure = Figure(figsize=(side + 1.2, side), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(choices)), choices, rotation=30, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(choices)), choices)
    axes.set(xlabel="taken for", ylabel="is")
    for (i, j), count in np.ndenumerate(table):
        axes.text(j, i, str(count), ha="center", va="center", color="white" if shares[i, j] > 0.5 else "black")
    return figure
