"""Pictures of what decided an answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from ...hierarchy import HierError
from ...hierarchy.files import output
from ...hierarchy.names import in_picture
from ..answering.explain import MapAnswer
from ..marks import save_figure

SUFFIXES = (".png", ".svg", ".pdf")


def check_out(path: Path) -> None:
    """HierError for a picture that could not be written."""
    if path.suffix.lower() not in SUFFIXES:
        raise HierError(f"a picture {path.name!r} cannot be drawn: its name must end with {', '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise HierError(f"no folder {path.parent} for the picture {path.name}: make it first")


def draw_maps(steps: Sequence[MapAnswer], view: Tensor, path: Path) -> None:
    """The view, and for each step of the path a bar for each operation: what its maps weigh."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.6 + 3.4 * len(steps), 4.4), layout="constrained")
    image, *bars = figure.subplots(1, 1 + len(steps), width_ratios=[1.2, *[1] * len(steps)])
    image.imshow(view.permute(1, 2, 0).numpy().clip(0, 1))
    image.set_axis_off()
    for k, (axes, step) in enumerate(zip(bars, steps, strict=True)):
        names, drops = list(step.drops)[::-1], list(step.drops.values())[::-1]
        axes.barh(names, drops, color=["tab:blue" if v > 0 else "tab:orange" for v in drops])
        axes.axvline(0, color="black", linewidth=0.8)
        axes.set_title(f"{step.node}: {in_picture(step.choice)} ({100 * step.probability:.0f} %)", fontsize=9)
        axes.set_xlabel("log-probability lost without it")
        if k:
            axes.set_yticklabels([])
    with output(path) as file:
        save_figure(figure, file, path.suffix.lower(), dpi=120)
