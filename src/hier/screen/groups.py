"""The table of one image: how well each of the 17 groups holds."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from ..hierarchy.layers import layer_groups
from ..pipelines.answering.results import Prediction
from ..pipelines.answering.table import GroupRow, most_likely
from .console import named

WIDE = 118  # columns of a terminal from which the reasons are shown too
STYLES = {"holds": "green", "holds within tolerance": "yellow", "refused": "dim"}
SHORT = {"holds within tolerance": "in tolerance"}
HEADS = ("  group", "phase", "noise", "ampl.", "ratio", "misfit", "strain", "refl.", "weight", "nets", "verdict")


def group_table(result: Prediction, width: int = 80) -> Group:
    """The table with what it says below, for a terminal of `width` columns; one line for an image without a pattern."""
    rows = result.table
    if not rows:
        return Group(Text("no table: the image is not periodic", style="yellow"))
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=0, pad_edge=False)
    for head, unit in zip(HEADS, ("", "deg", "deg", "%", "", "", "%", "", "", "%", ""), strict=True):
        left = head in ("  group", "verdict")
        table.add_column(f"{head}\n{unit}", justify="left" if left else "right", no_wrap=True)
    if width >= WIDE:
        table.add_column("why\n", overflow="fold")
    for row in rows:
        cells = _cells(row, result) + ([row.reason] if width >= WIDE else [])
        table.add_row(*cells, style="bold green" if row.group == result.group else STYLES[row.verdict])
    return Group(table, *_said(result))


def _cells(row: GroupRow, result: Prediction) -> list[str]:
    asked = None if result.asked is None else result.asked.group
    mark = ">" if row.group == result.group else "?" if row.group == asked else " "
    numbers = row.phase_deg, row.target_deg, row.amplitude_percent, row.noise_ratio
    tested = row.misfit is not None
    return [
        f"{mark} {row.group}",
        *("" if value is None else f"{value:.1f}" for value in numbers),
        f"{row.misfit:.3f}" if tested else "",
        f"{row.strain_percent:.1f}",
        str(row.reflections) if tested else "",
        f"{row.akaike_weight:.3f}" if tested else "",
        "" if row.probability is None else f"{100 * row.probability:.1f}",
        SHORT.get(row.verdict, row.verdict),
    ]


def _said(result: Prediction) -> list[Text]:
    """What the table comes to, in lines."""
    best = most_likely(result.table)
    forgiven = "the answer's own" if result.tolerance is None else f"{result.tolerance:g}"
    legend = (
        "phase, ampl.: residuals; noise: what noise alone leaves of the phases",
        "ratio: residuals to noise, up to 1.5 holds; weight: geometric Akaike weight",
    )
    lines = [Text(line, style="dim") for line in legend]
    if result.asked is not None and result.asked.group is not None:
        lines.append(Text(f"> the answer, ? {result.asked.group} as asked", style="magenta"))
    if any(row.verdict == "holds within tolerance" for row in result.table):
        lines.append(Text(f"in tolerance: more than noise, but a misfit of no more than {forgiven}", style="dim"))
    if best.group == result.group:
        lines.append(Text(f"Akaike weight ({best.akaike_weight:.3f}) and networks agree on {best.group}"))
    else:
        answer = f"answer {result.group}" if result.group else "networks undecided"
        lines.append(Text(f"Akaike weight: {best.group} ({best.akaike_weight:.3f}); {answer}", style="yellow"))
    if result.refined is not None:
        lines.append(Text(f"cell by least squares: {result.refined}"))
    if result.group is not None and any(row.group == result.group for row in result.table):
        layers = layer_groups(result.group)
        marked = ", ".join(f"{layer}{'*' if layer.larger else ''}" for layer in layers)
        note = "; * with twice the cell" if any(layer.larger for layer in layers) else ""
        lines.append(named(f"layer groups with this projection: {marked}{note}", "dim"))
    return lines
