"""One image's answer in a panel."""

from __future__ import annotations

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ..hierarchy.names import on_screen
from ..pipelines.answering.asked import asked_in_words
from ..pipelines.answering.cells import EQUAL, NEEDED, OBLONG, SKEW, LatticeFound, constrained
from ..pipelines.answering.confidence import Confidence, doubts
from ..pipelines.answering.ladder import in_words
from ..pipelines.answering.refused import NOT_PERIODIC, advice
from ..pipelines.answering.results import Failure, Prediction
from ..pipelines.answering.words import percent
from ..pipelines.reading.pixel_size import shown
from .console import named

STYLES: dict[Confidence, str] = {
    "sure": "green",
    "likely": "yellow",
    "doubtful": "dark_orange",
    "undecided": "dark_orange",
    "none": "yellow",
}


def panel(result: Prediction | Failure, ascii_only: bool = False) -> Panel:
    """One image's answer: the group, the path with a probability at each step, runners-up and the lattice.

    `ascii_only` is for terminals that know no other signs; rich itself draws the box with them there.
    """
    full, empty, gamma, degree = ("#", "-", "gamma", " deg") if ascii_only else ("█", "░", "γ", "°")
    if isinstance(result, Failure):
        return Panel(named(result.error, "red"), title=named(result.file), title_align="left", border_style="red")
    if not result.periodic:
        text = Text.assemble((NOT_PERIODIC, "bold yellow"), "  ", (percent(1 - result.periodic_probability), "bold"))
        said = Group(text, *_left_out(result), *_asked(result, degree), *(Text(line) for line in advice(result)))
        return Panel(said, title=named(result.file), title_align="left", border_style="yellow")
    decided, style = result.group is not None, STYLES[result.confidence]
    if result.region is not None:
        left, top, width, height = result.region
        region = Text(f"only in {width} x {height} px from ({left}, {top}); the whole is not periodic", style="yellow")
    else:
        region = None
    head = Text.assemble((on_screen(result.group), f"bold {style}"), "  ", (percent(result.probability), "bold"))
    if not decided:
        head = named(result.statement, f"bold {style}")
    elif doubt := doubts(result):
        head.append(f"  {result.confidence}: {doubt}", style)
    steps = Table.grid(padding=(0, 2))
    for step in result.path:
        filled = round(12 * step.probability)
        bar = Text(full * filled, style=style) + Text(empty * (12 - filled), style="dim")
        steps.add_row(Text(step.level, style="cyan"), named(step.choice), bar, percent(step.probability))
    notes = [*([] if region is None else [region]), *_left_out(result), *_asked(result, degree), *_straightened(result)]
    rows: list[Text | Table] = [head, *notes, steps]
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
        a, b, angle = constrained(cell.a, cell.b, cell.gamma, cell.system)
        lengths = f"a = {a:.2f} px" if a == b else f"a = {a:.2f} px, b = {b:.2f} px"
        rows.append(Text(f"{name} cell: {lengths}, {gamma} = {angle:.1f}{degree}", style="dim"))
        if off := _off(cell, degree):
            needed = f"{'a = b, ' if cell.system in EQUAL else ''}{gamma} = {NEEDED[cell.system]:.0f}{degree}"
            rows.append(Text(f"off by {' and '.join(off)}: the group needs {needed}", style="yellow"))
        if result.pixel_size is not None:
            unit, one = on_screen(shown(result.pixel_size.unit)), result.pixel_size.value
            long = "" if a == b else f", b = {b * one:.4g} {unit}"
            rows.append(Text(f"a = {a * one:.4g} {unit}{long}", style="dim"))
    rows += _regions(result)
    return Panel(Group(*rows), title=named(result.file), title_align="left",
                 border_style=style, expand=False)  # fmt: skip


def _left_out(result: Prediction) -> list[Text]:
    """What was cut off or left out, a line each, and what was judged."""
    made = [Text(f"{'left out' if one.kind in ('mask', 'scale bar') else 'cut'}: {one}") for one in result.left_out]
    if result.judged is not None:
        left, top, width, height = result.judged
        made.append(Text(f"judged: {width} x {height} px from ({left}, {top})"))
    for line in made:
        line.stylize("yellow")
    return made


def _asked(result: Prediction, degree: str) -> list[Text]:
    """What the user had a say in, and how it fares."""
    return [named(line, "magenta") for line in asked_in_words(result, degree)]


def _straightened(result: Prediction) -> list[Text]:
    """How the image was straightened, and what else it may be."""
    made = []
    if result.field is not None and result.field.kind != "none":
        made.append(Text(f"straightened: {result.field}", style="yellow"))
    if len(result.possible) > 1 or any(one.strain for one in result.possible):
        made.append(named("possible: " + "; ".join(str(one) for one in result.possible), "yellow"))
    return made


def _regions(result: Prediction) -> list[Table]:
    """The regions, a line each, the largest first."""
    if not result.regions:
        return []
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="cyan")
    for title in ("region", "group", "", "share", "a", "b", "rectangle"):
        table.add_column(title)
    for k, region in enumerate(result.regions, 1):
        answer, (left, top, width, height) = region.answer, region.rectangle
        lengths = [] if answer.lattice is None else [f"{x:.1f} px" for x in (answer.lattice.a, answer.lattice.b)]
        name = named(answer.group or answer.statement, f"bold {STYLES[answer.confidence]}")
        table.add_row(
            str(k), name, percent(answer.probability), percent(region.share), *lengths,
            f"{width} x {height} at ({left}, {top})",
        )  # fmt: skip
    return [table]


def _off(cell: LatticeFound, degree: str) -> list[str]:
    """How far a cell is off what its group needs, in words; nothing where that is within `OBLONG` and `SKEW`."""
    lengths = [f"{100 * cell.off_lengths:.1f} % in length"] if cell.off_lengths > OBLONG else []
    return lengths + ([f"{cell.off_angle:.1f}{degree} in angle"] if cell.off_angle > SKEW else [])
