"""What the command line shows: panels, tables, progress. Files, MLflow and the screen live in pipelines only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.console import Console, Group
from rich.panel import Panel
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from .fit import Metrics, Reporter
from .pixel_size import shown
from .results import Failure, Prediction

if TYPE_CHECKING:
    from .evaluate import Report
    from .train import TrainResult


def percent(p: float) -> str:
    """A probability as people read it; never 100 % unless it is."""
    if 0.9995 <= p < 1:
        return ">99.9 %"
    return f"{100 * p:.1f} %"


def panel(result: Prediction | Failure) -> Panel:
    """One image's answer: the group, the path with a probability at each step, runners-up and the lattice."""
    if isinstance(result, Failure):
        return Panel(Text(result.error, style="red"), title=Text(result.file), title_align="left", border_style="red")
    if not result.periodic:
        text = Text.assemble(
            ("not periodic", "bold yellow"), f"  (a pattern with probability {percent(result.periodic_probability)})"
        )
        return Panel(text, title=Text(result.file), title_align="left", border_style="yellow")
    sure = result.group is not None
    head = Text.assemble((str(result.group), "bold green"), "  ", (percent(result.probability), "bold"))
    if not sure:
        head = Text(result.statement, style="bold yellow")
    steps = Table.grid(padding=(0, 2))
    for step in result.path:
        filled = round(12 * step.probability)
        bar = Text("█" * filled, style="green") + Text("░" * (12 - filled), style="dim")
        steps.add_row(Text(step.level, style="cyan"), step.choice, bar, percent(step.probability))
    rows: list[Text | Table] = [head, steps]
    others = sorted(((p, g) for g, p in result.groups.items() if g != result.group), reverse=True)
    likely = [f"{g} {percent(p)}" for p, g in others[:3] if p >= 0.001]
    if likely:
        rows.append(Text(("else " if sure else "likeliest: ") + ", ".join(likely), style="dim"))
    if result.disagreement is not None:
        rows.append(Text(f"the models disagree by {result.disagreement:.3f} nats", style="dim"))
    if result.lattice is not None:
        cell = result.lattice
        name = f"{'centred ' if cell.centred else ''}{cell.system}"
        rows.append(Text(f"{name} cell: a = {cell.a:.2f} px, b = {cell.b:.2f} px, γ = {cell.gamma:.1f}°", style="dim"))
        if cell.unit is not None:
            unit = shown(cell.unit)
            rows.append(Text(f"a = {cell.a_length:.4g} {unit}, b = {cell.b_length:.4g} {unit}", style="dim"))
    return Panel(Group(*rows), title=Text(result.file), title_align="left",
                 border_style="green" if sure else "yellow", expand=False)  # fmt: skip


def _bars(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(12), MofNCompleteColumn(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True), TextColumn("{task.fields[note]}"),
        console=console,
    )  # fmt: skip


@contextmanager
def progress(console: Console, name: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar with time left; yields what advances it."""
    with _bars(console) as bars:
        task = bars.add_task(name, total=total, note="")
        yield lambda n: bars.advance(task, n)


@contextmanager
def training_progress(console: Console) -> Iterator[Reporter]:
    """Bars for the stages of a training, with loss and accuracy of the last epoch."""
    with _bars(console) as bars:
        tasks = {}

        def stage(name: str, total: int) -> Callable[[int], None]:
            task = bars.add_task(name, total=total, note="")
            return lambda n: bars.advance(task, n)

        def epoch(node: str, index: int, epochs: int, metrics: Metrics) -> None:
            if node not in tasks:
                tasks[node] = bars.add_task(f"fit {node}", total=epochs, note="")
            note = f"loss {metrics['train/loss']:.3f}, valid {percent(metrics['valid/accuracy'])}"
            bars.update(tasks[node], completed=index + 1, note=note)

        yield Reporter(stage, epoch)


def training_table(result: TrainResult) -> Table:
    """Final figures of every node trained."""
    table = Table(title="accuracy in % on images never trained on", title_justify="left", box=SIMPLE, show_edge=False)
    columns = {"valid/accuracy": "valid", "cross_photos/accuracy": "photos", "cross_atoms/accuracy": "atoms",
               "cross_noise/accuracy": "noise"}  # fmt: skip
    for title in ("node", "level"):
        table.add_column(title, no_wrap=True)
    for title in (*columns.values(), "loss", "images", "time"):
        table.add_column(title, justify="right")
    for node in result.nodes:
        m = node.metrics
        cells = [f"{100 * m[key]:.1f}" if key in m else "" for key in columns]
        table.add_row(
            node.node, node.level, *cells, f"{m['valid/loss']:.3f}", f"{m['images']:.0f}", f"{m['seconds']:.0f} s"
        )
    return table


def report_tables(report: Report) -> list[Table]:
    """Accuracies at the leaves, levels and nodes, the probabilities' honesty, and the commonest confusions."""
    table = Table(title=f"{report.count} images", title_justify="left")
    table.add_column("")
    for title in ("accuracy", "balanced", "end to end"):
        table.add_column(title, justify="right")
    table.add_row("group", percent(report.accuracy), percent(report.balanced["group"]), style="bold")
    for name, value in report.levels.items():
        table.add_row(f"level {name}", percent(value), percent(report.balanced["levels"][name]))
    for name, value in report.nodes.items():
        end = percent(report.end_to_end[name]["accuracy"])
        table.add_row(f"node {name}", percent(value), percent(report.balanced["nodes"][name]), end)
    figures = Table(title="probabilities and errors", title_justify="left", show_header=False)
    figures.add_column("")
    figures.add_column("", justify="right")
    for title, text in _figures(report).items():
        figures.add_row(title, text)
    wrong = [
        (n, report.labels[i], report.labels[j])
        for i, row in enumerate(report.confusion)
        for j, n in enumerate(row)
        if i != j and n
    ]
    confusions = Table(title="commonest confusions", title_justify="left")
    for title in ("is", "taken for", "images"):
        confusions.add_column(title)
    for n, truth, found in sorted(wrong, reverse=True)[:8]:
        confusions.add_row(truth, found, str(n))
    return [table, figures, confusions] if wrong else [table, figures]


def _figures(report: Report) -> dict[str, str]:
    """What stands below the accuracies, by title."""
    told = {
        "log loss": f"{report.loss:.5f}",
        "Brier score": f"{report.brier:.5f}",
        "calibration error, 15 bins": f"{report.ece:.5f}",
        "hierarchical F": percent(report.hierarchical["f"]),
        "area under risk over coverage": f"{report.aurc:.5f}",
    }
    if report.disagreement is not None:
        told["disagreement of models, nats"] = f"{report.disagreement:.4f}"
    for counts in (report.mistakes, report.mistake_levels):
        if counts:
            told[f"errors: {', '.join(counts)}"] = ", ".join(map(str, counts.values()))
    return told | {"held to be no pattern": str(report.refused)}


def refusal_table(refusals: Mapping[str, float]) -> Table:
    """Shares of images held to be no pattern, by kind."""
    table = Table(title="held to be no pattern", title_justify="left")
    table.add_column("images")
    table.add_column("share", justify="right")
    for kind, share in refusals.items():
        table.add_row(kind, percent(share), style="bold" if kind == "all" else "")
    return table
