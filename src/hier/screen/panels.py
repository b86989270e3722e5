"""One image's answer in a panel."""

from __future__ import annotations

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ..hierarchy.names import on_screen
from ..pipelines.answering.cells import EQUAL, NEEDED, LatticeFound
from ..pipelines.answering.ladder import in_words
from ..pipelines.answering.results import Failure, Prediction
from ..pipelines.answering.words import percent
from ..pipelines.reading.pixel_size import shown
from .console import named

OBLONG, SKEW = 0.02, 1.5  # relative length, and degrees, from which a cell is off what its group needs


def panel(result: Prediction | Failure, ascii_only: bool = False) -> Panel:
    """One image's answer: the group, the path with a probability at each step, runners-up and the lattice.

    `ascii_only` is for terminals that know no other signs; rich itself draws the box with them there.
    """
    full, empty, gamma, degree = ("#", "-", "gamma", " deg") if ascii_only else ("█", "░", "γ", "°")
    if isinstance(result, Failure):
        return Panel(named(result.error, "red"), title=named(result.file), title_align="left", border_style="red")
    if not result.periodic:
        text = Text.assemble(
            ("not periodic", "bold yellow"), f"  (P(periodic) = {percent(result.periodic_probability)})"
        )
        return Panel(text, title=named(result.file), title_align="left", border_style="yellow")
    decided = result.group is not None
    if result.region is not None:
        left, top, width, height = result.region
        region = Text(f"only in {width} x {height} px from ({left}, {top}); the whole is not periodic", style="yellow")
    else:
        region = None
    head = Text.assemble((on_screen(result.group), "bold green"), "  ", (percent(result.probability), "bold"))
    if not decided:
        head = named(result.statement, "bold yellow")
    steps = Table.grid(padding=(0, 2))
    for step in result.path:
        filled = round(12 * step.probability)
        bar = Text(full * filled, style="green") + Text(empty * (12 - filled), style="dim")
        steps.add_row(Text(step.level, style="cyan"), named(step.choice), bar, percent(step.probability))
    rows: list[Text | Table] = [head, *([] if region is None else [region]), *_straightened(result), steps]
    others = sorted(((p, g) for g, p in result.groups.items() if g != result.group), reverse=True)
    likely = [f"{g} {percent(p)}" for p, g in others[:3] if p >= 0.001]
    if likely:
        rows.append(named(("else " if decided else "likeliest: ") + ", ".join(likely), "dim"))
    if result.disagreement is not None:
        rows.append(Text(f"the models disagree by {result.disagreement:.3f} nats", style="dim"))
    if len(result.ladder) > 1:
        line = in_words(result.ladder)
        rows.append(Text(line.replace(" · ", ", ") if ascii_only else line, style="dim"))
    if result.lattice is not None:
        cell = result.lattice
        name = f"{'centred ' if cell.centred else ''}{cell.system}"
        lengths = f"a = {cell.a:.2f} px, b = {cell.b:.2f} px"
        rows.append(Text(f"{name} cell: {lengths}, {gamma} = {cell.gamma:.1f}{degree}", style="dim"))
        if off := _off(cell, degree):
            needed = f"{'a = b, ' if cell.system in EQUAL else ''}{gamma} = {NEEDED[cell.system]:.0f}{degree}"
            rows.append(Text(f"off by {' and '.join(off)}: the group needs {needed}", style="yellow"))
        if cell.unit is not None:
            unit = on_screen(shown(cell.unit))
            rows.append(Text(f"a = {cell.a_length:.4g} {unit}, b = {cell.b_length:.4g} {unit}", style="dim"))
    return Panel(Group(*rows), title=named(result.file), title_align="left",
                 border_style="green" if decided else "yellow", expand=False)  # fmt: skip


def _straightened(result: Prediction) -> list[Text]:
    """How the image was straightened, and what else it may be."""
    made = []
    if result.field is not None and result.field.kind != "none":
        made.append(Text(f"straightened: {result.field}", style="yellow"))
    if len(result.possible) > 1 or any(one.strain for one in result.possible):
        made.append(named("possible: " + "; ".join(str(one) for one in result.possible), "yellow"))
    return made


def _off(cell: LatticeFound, degree: str) -> list[str]:
    """How far a cell is off what its group needs, in words; nothing where that is within `OBLONG` and `SKEW`."""
    lengths = [f"{100 * cell.off_lengths:.1f} % in length"] if cell.off_lengths > OBLONG else []
    return lengths + ([f"{cell.off_angle:.1f}{degree} in angle"] if cell.off_angle > SKEW else [])
