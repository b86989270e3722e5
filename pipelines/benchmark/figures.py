"""Pictures of a benchmark: confusions with the groups in the tree's order, and accuracy by number of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...hierarchy.files import whole
from ...hierarchy.names import in_picture
from ..drawing.charts import draw_confusion
from ..marks import save_figure
from .rows import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLES = {"valid": "photographs", "cross_atoms": "atoms", "cross_noise": "noise"}


def draw_confusions(row: Row, blocks: Mapping[str, int], path: Path) -> None:
    """Counts and shares of each row, on validation and cross-validation images, to the PNG `path`.

    `blocks` holds the classes in the order in which they are shown, each with the branch it belongs to: lines part
    the branches.
    """
    from matplotlib.figure import Figure

    shown = list(blocks)
    order = [row.classes.index(name) for name in shown]
    side = 2.0 + 0.32 * len(row.classes)
    figure = Figure(figsize=(2 * side, len(TITLES) * side), layout="constrained")
    figure.suptitle(f"{in_picture(row.system)}: {in_picture(row.network)}, {row.count} training images")
    grid = figure.subplots(len(TITLES), 2)
    for (name, title), (left, right) in zip(TITLES.items(), grid, strict=True):
        counts = np.asarray(row.confusion[name])[np.ix_(order, order)]
        shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
        accuracy = 100 * row.figures[f"{name}/accuracy"]
        draw_confusion(left, counts, shown, [[str(n or "") for n in line] for line in counts.tolist()])
        texts = [[f"{v:.0f}" if v >= 0.5 else "" for v in line] for line in shares.tolist()]
        draw_confusion(right, counts, shown, texts)
        for axes in (left, right):
            _part(axes, blocks)
        left.set_title(f"{title}: images ({accuracy:.1f} % correct)")
        right.set_title(f"{title}: % of the true group")
    with whole(path) as file:
        save_figure(figure, file, ".png", dpi=80)


def _part(axes: Axes, blocks: Mapping[str, int]) -> None:
    classes = list(blocks)
    for k in range(1, len(classes)):
        if blocks[classes[k]] != blocks[classes[k - 1]]:
            axes.axhline(k - 0.5, color="0.5", linewidth=0.8)
            axes.axvline(k - 0.5, color="0.5", linewidth=0.8)


def draw_curve(rows: Sequence[Row], path: Path) -> bool:
    """Accuracy against the number of training images, to the PNG `path`; False where no system has two points."""
    from matplotlib.figure import Figure

    systems = [n for n in dict.fromkeys(r.system for r in rows) if sum(r.system == n for r in rows) > 1]
    if not systems:
        return False
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    for axes, (name, title) in zip(figure.subplots(1, len(TITLES), sharey=True), TITLES.items(), strict=True):
        for system in systems:
            points = sorted((r.count, 100 * r.figures[f"{name}/accuracy"]) for r in rows if r.system == system)
            axes.plot(*zip(*points, strict=True), marker="o", label=in_picture(system))
        axes.set_xscale("log")
        ticks = sorted({r.count for r in rows if r.system in systems})
        axes.set_xticks(ticks, [f"{n:,}".replace(",", " ") for n in ticks])
        axes.minorticks_off()
        axes.set(title=title, xlabel="training images", ylim=(0, 102))
        axes.axhline(100 / 17, color="0.6", linestyle=":", linewidth=1)
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("% correct")
    figure.axes[0].legend()
    with whole(path) as file:
        save_figure(figure, file, ".png", dpi=80)
    return True


def draw_training(rows: Sequence[Row], path: Path) -> bool:
    """The share that is right in training against images seen, to the PNG `path`; False where no row has a curve."""
    from matplotlib.figure import Figure

    told = [row for row in rows if len(row.curve) == 1 and len(next(iter(row.curve.values()))) > 1]
    if not told:
        return False
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    for k, row in enumerate(told):
        (shares,) = row.curve.values()
        seen = [row.images_seen * (n + 1) / len(shares) / 1000 for n in range(len(shares))]
        axes.plot(seen, [100 * v for v in shares], ("-", ":", "--")[k // 10 % 3], label=in_picture(row.system))
    axes.set(xlabel="thousand images seen", ylabel="% right in training", ylim=(0, 102), xlim=(0, None))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=8)
    with whole(path) as file:
        save_figure(figure, file, ".png", dpi=80)
    return True
