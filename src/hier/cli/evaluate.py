"""`hier evaluate`: accuracy on generated patterns or labelled images, and the share of non-patterns rejected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..hierarchy import HierError
from ..screen.streams import fail
from .options import (
    ROOT,
    Corrupt,
    Device,
    Focal,
    Force,
    Json,
    MetricName,
    Models,
    Photos,
    Quiet,
    Rectify,
    RouterName,
    Strain,
    Tolerance,
    Verbose,
    device_named,
    rectified_as,
    router_named,
)  # fmt: skip

if TYPE_CHECKING:
    from ..pipelines.measuring.evaluate import Report
    from ..pipelines.measuring.labelled import LabelledReport

PICTURES = (".png", ".svg", ".pdf")
EPILOG = (
    "Examples:  hier evaluate --source atoms --count 1700 --seed 7  |  hier evaluate my/labelled/images.  "
    "A labels.csv:  first line file,acceptable,sure  then  cat.png,p4m|p4,likely  and  leaf.jpg,none,sure"
)


def evaluate(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder with a labels.csv, or with one subfolder of images for each group.")
    ] = None,
    source: Annotated[
        str, typer.Option(help="Generated images instead: photos, atoms, noise, outlines, or none (non-patterns).")
    ] = "photos",
    count: Annotated[int, typer.Option(min=1, help="Number of generated images.")] = 1700,
    seed: Annotated[int, typer.Option(min=0, max=10**9, help="Random seed (disjoint from all training seeds).")] = 0,
    size: Annotated[int, typer.Option(min=64, max=2048, help="Height and width in px.")] = 256,
    orientation: Annotated[str, typer.Option(help="any or aligned.")] = "any",
    construction: Annotated[str, typer.Option(help="fold (exact) or paste (whole pixels, always aligned).")] = "fold",
    cells: Annotated[str | None, typer.Option(help="Fewest-most primitive cells in view, for instance 4-60.")] = None,
    near_misses: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of near misses of a supergroup; not of outlines, and folded only."),
    ] = 0.0,
    photos: Photos = None,
    corrupt: Corrupt = None,
    model: Models = None,
    router: RouterName = "soft",
    tolerance: Tolerance = None,
    strain: Strain = None,
    rectify: Rectify = "auto",
    metric: MetricName = "auto",
    focal: Focal = None,
    device: Device = "auto",
    wrong: Annotated[bool, typer.Option("--wrong", help="List every image that was answered wrongly.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Draw the confusion matrix to this .png, .svg or .pdf.")] = None,
    record: Annotated[bool, typer.Option("--record", help="Record the figures in MLflow, see `hier ui`.")] = False,
    force: Force = False,
    as_json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Measure accuracy, on generated patterns or on a folder of labelled images.

    With --source none, measure instead the share of non-periodic images (photographs, noise, stripes, scattered atoms,
    slopes) that the gate rejects. In a folder, with --router hard, a node's accuracy counts only the images that
    reached it. With --tolerance a generated pattern's right answer is the group that holds within it, before noise and
    other corruptions but workmanship.

    Images of a folder are straightened as hier predict does it, and so are generated patterns that --corrupt distorts
    (perspective, barrel, bend, creep, shear); --rectify none leaves all as they are.

    A labels.csv in the folder has the columns file and acceptable: the groups that are right answers, with | between
    them, and none where not periodic is one. Columns sure and kind, if there are any, divide the figures by their
    values.
    """
    from ..pipelines.loading import load
    from ..pipelines.measuring.evaluate import (
        Report,
        evaluate_folder,
        evaluate_patterns,
        evaluate_refusals,
        folder_count,
        parse_corruptions,
    )
    from ..pipelines.measuring.labelled import evaluate_table, has_table, read_table
    from ..screen.console import Screen
    from ..screen.progress import progress

    table = folder is not None and has_table(folder)
    _check_plot(plot, folder, force)
    if (plot or record) and (table or (folder is None and source == "none")):
        option = "--plot" if plot else "--record"
        raise HierError(f"{option} needs one right group for each image: a labels.csv and --source none have others")
    device, chosen = device_named(device), router_named(router)
    corruptions = parse_corruptions(corrupt or [])
    dataset: Any = _dataset(source, seed, size, orientation, construction, cells, near_misses, corruptions)
    predictor = load(model or None, device, chosen, None, tolerance, strain, *rectified_as(rectify, metric), focal)
    classifier, straightening = predictor.classifier, predictor.rectification
    rows = read_table(folder, classifier.labels) if folder is not None and table else []
    expected = len(rows) or (folder_count(folder) if folder else count)
    report: Report | LabelledReport
    with progress(Screen(stderr=True), "images", expected) as advance:
        if folder is not None and rows:
            report = evaluate_table(classifier, folder, rows, chosen, advance, tolerance, straightening)
        elif folder is not None:
            report = evaluate_folder(classifier, folder, chosen, advance, tolerance, straightening)
        elif source == "none":
            refusals = evaluate_refusals(classifier, dataset, count, photos, advance)
        else:
            report = evaluate_patterns(classifier, dataset, count, photos, chosen, advance, tolerance, straightening)
    if folder is None and source == "none":
        _show_refusals(refusals, as_json)
        return
    if isinstance(report, Report):
        if plot is not None:
            _draw(report, plot)
        if record:
            from ..pipelines.tracking.evaluations import record as run
            from ..pipelines.tracking.runs import store

            asked = {"model": ", ".join(model or ["bundled"]), "router": router}
            run(store(ROOT), report, classifier.bundle.tree.name, asked, device)
    _show(report, as_json, wrong)


def _check_plot(plot: Path | None, folder: Path | None, force: bool) -> None:
    from ..pipelines.outputs import check_outputs

    if plot is not None and plot.suffix.lower() not in PICTURES:
        raise HierError(f"--plot {plot}: give a name that ends in {', '.join(PICTURES)}")
    check_outputs({"--plot": plot}, [folder], force=force)


def _draw(report: Report, plot: Path) -> None:
    import numpy as np
    from matplotlib.figure import Figure

    from ..hierarchy.files import output
    from ..pipelines.drawing.charts import draw_confusion
    from ..pipelines.marks import save_figure

    side = 1.4 + 0.36 * len(report.labels)
    figure = Figure(figsize=(side, side), layout="constrained")
    texts = [[str(n) if n else "" for n in row] for row in report.confusion]
    draw_confusion(figure.add_subplot(), np.asarray(report.confusion), report.labels, texts)
    with output(plot) as unfinished:
        save_figure(figure, unfinished, plot.suffix.lower(), dpi=140)


def _dataset(
    source: str,
    seed: int,
    size: int,
    orientation: str,
    construction: str,
    cells: str | None,
    near_misses: float,
    corruptions: Any,
) -> Any:
    from ..datasets import SOURCES, NonPatternDataset, PatternDataset
    from ..hierarchy import UnknownNameError
    from .generate import cell_range

    if source == "none":
        return NonPatternDataset(seed, size, corruptions=corruptions)
    if source not in SOURCES:
        raise UnknownNameError("source", source, [*SOURCES, "none"])
    return PatternDataset(
        source, seed, size, orientation=orientation, construction=construction,  # type: ignore[arg-type]
        cells=cell_range(cells), near_misses=near_misses, corruptions=corruptions,
    )  # fmt: skip


def _show_refusals(refusals: dict[str, float], as_json: bool) -> None:
    from ..screen.console import Screen
    from ..screen.tables import refusal_table

    if as_json:
        typer.echo(json.dumps(refusals))
    else:
        Screen().print(refusal_table(refusals))


def _show(report: Report | LabelledReport, as_json: bool, wrong: bool) -> None:
    from ..pipelines.measuring.labelled import LabelledReport
    from ..screen.console import Screen
    from ..screen.tables import labelled_tables, report_tables, wrong_table

    if as_json:
        typer.echo(json.dumps(report.as_dict()))
    else:
        for table in labelled_tables(report) if isinstance(report, LabelledReport) else report_tables(report):
            Screen().print(table)
        if wrong:
            Screen().print(wrong_table(report))
    for file, error in report.errors.items():
        fail(f"{file}: {error}")
    if report.errors:
        raise typer.Exit(2)
