"""Tables of accuracies: trainings, evaluations, maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.table import Table

from ..pipelines.answering.words import percent
from ..pipelines.reading.pixel_size import shown
from .console import named

if TYPE_CHECKING:
    from ..pipelines.measuring.evaluate import Report
    from ..pipelines.measuring.labelled import LabelledReport
    from ..pipelines.training.train import TrainResult


def pairs_table(title: str, pairs: Mapping[str, str]) -> Table:
    """Names with what is said of them; no word is cut."""
    table = Table(title=title, title_justify="left", box=SIMPLE, show_header=False, show_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("", overflow="fold")
    for name, text in pairs.items():
        table.add_row(named(name), named(text))
    return table


def training_table(result: TrainResult) -> Table:
    """Final figures of every node trained."""
    table = Table(title="accuracy in % on images never trained on", title_justify="left", box=SIMPLE, show_edge=False,
                  padding=(0, 1, 0, 0))  # fmt: skip
    columns = {"valid/accuracy": "valid", "cross_photos/accuracy": "photos", "cross_atoms/accuracy": "atoms",
               "cross_noise/accuracy": "noise", "cross_outlines/accuracy": "outlines"}  # fmt: skip
    table.add_column("node", no_wrap=True)
    for title in (*columns.values(), "loss", "images", "time"):
        table.add_column(title, justify="right", no_wrap=True)
    for node in result.nodes:
        m = node.metrics
        cells = [f"{100 * m[key]:.1f}" if key in m else "" for key in columns]
        table.add_row(node.node, *cells, f"{m['valid/loss']:.3f}", f"{m['images']:.0f}", f"{m['seconds']:.0f} s")
    return table


def report_tables(report: Report) -> list[Table]:
    """Accuracies at the leaves, levels and nodes, the probabilities' calibration, and the most common confusions."""
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
    confusions = Table(title="most common confusions", title_justify="left")
    for title in ("true", "predicted", "images"):
        confusions.add_column(title)
    for n, truth, found in sorted(wrong, reverse=True)[:8]:
        confusions.add_row(named(truth), named(found), str(n))
    return [table, figures, confusions] if wrong else [table, figures]


def _figures(report: Report) -> dict[str, str]:
    """What is shown below the accuracies, by title."""
    entries = {
        "log loss": f"{report.loss:.5f}",
        "Brier score": f"{report.brier:.5f}",
        "calibration error, 15 bins": f"{report.ece:.5f}",
        "hierarchical F": percent(report.hierarchical["f"]),
        "area under risk-coverage curve": f"{report.aurc:.5f}",
    }
    if report.disagreement is not None:
        entries["disagreement of models, nats"] = f"{report.disagreement:.4f}"
    for counts in (report.mistakes, report.mistake_levels):
        if counts:
            entries[f"errors: {', '.join(counts)}"] = ", ".join(map(str, counts.values()))
    return entries | {"rejected as non-periodic": str(report.refused)}


def wrong_table(report: Report | LabelledReport) -> Table:
    """Every wrong answer; where several groups are right ones, every image that was refused too."""
    from ..pipelines.measuring.labelled import LabelledReport

    if isinstance(report, LabelledReport):
        listed = [(m["file"], m["acceptable"], m["answer"], m["probability"]) for m in report.mistakes]
        listed += [(m["file"], m["acceptable"], "none", 1 - m["periodic_probability"]) for m in report.refusals]
    else:
        listed = [(w["image"], [w["truth"]], w["answer"], w["probability"]) for w in report.wrong]
    table = Table(title=f"{len(listed)} wrong", title_justify="left")
    table.add_column("image", overflow="fold")
    for title in ("true", "answer"):
        table.add_column(title, overflow="fold")
    table.add_column("probability", justify="right")
    for image, truth, answer, probability in listed:
        table.add_row(named(image), named(" ".join(truth)), named(answer), percent(probability))
    return table


def labelled_tables(report: LabelledReport) -> list[Table]:
    """Right, wrong, refused and unread images, in all and by column; how often sure answers are right; ten mistakes."""
    table = Table(title=f"{report.total.count} images", title_justify="left")
    table.add_column("")
    for title in ("images", "right", "", "wrong", "refused", "unread"):
        table.add_column(title, justify="right")
    lines = [("all", report.total, "bold")]
    lines += [(f"sure: {name or '-'}", tally, "") for name, tally in report.sure.items()]
    lines += [(f"kind: {name or '-'}", tally, "") for name, tally in report.kind.items()]
    for title, t, style in lines:
        counts = map(str, (t.count, t.right, percent(t.share), t.wrong, t.refused, t.unread))
        table.add_row(named(title), *counts, style=style)
    sure = report.confident
    if sure["count"]:
        share = percent(sure["right"] / sure["count"])
        table.add_row("p of 0.99 or more", str(sure["count"]), str(sure["right"]), share)
    wrong = Table(title=f"wrong answers, {min(10, len(report.mistakes))} of {len(report.mistakes)}",
                  title_justify="left")  # fmt: skip
    for title in ("file", "acceptable", "answer"):
        wrong.add_column(title)
    wrong.add_column("probability", justify="right")
    for m in report.mistakes[:10]:
        wrong.add_row(named(m["file"]), named(" ".join(m["acceptable"])), named(m["answer"]), percent(m["probability"]))
    return [table, wrong] if report.mistakes else [table]


def refusal_table(refusals: Mapping[str, float]) -> Table:
    """Shares of images rejected as non-periodic, by kind."""
    table = Table(title="rejected as non-periodic", title_justify="left")
    table.add_column("images")
    table.add_column("share", justify="right")
    for kind, share in refusals.items():
        table.add_row(kind, percent(share), style="bold" if kind == "all" else "")
    return table


def map_table(figures: dict[str, Any]) -> Table:
    """The same as a table."""
    positions = figures["rows"] * figures["columns"]
    table = Table(title=f"{positions} positions, {figures['measured']} measured", title_justify="left")
    for title in ("group", "share", "confidence", "a", "b", "γ"):
        table.add_column(title, justify="left" if title == "group" else "right")
    for entry in figures["groups"]:
        cells = ["", "", ""]
        if entry["group"] is not None:
            unit, suffix = (shown(entry["unit"]), "_length") if "unit" in entry else ("px", "")
            cells = [f"{entry[name + suffix]:.4g} {unit}" for name in ("a", "b")]
            cells.append(f"{entry['gamma']:.1f}°")
        name = entry["group"] or "not periodic"
        table.add_row(named(name), percent(entry["share"]), percent(entry["probability"]), *cells)
    return table
