"""`hier predict`: the group of each image, with the path through the tree."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..hierarchy import HierError
from ..screen.streams import fail, tell
from .options import (
    Channel,
    Device,
    Focal,
    Force,
    Json,
    MetricName,
    Models,
    On,
    Page,
    PixelSizeText,
    Range,
    RawText,
    Rectify,
    RouterName,
    Strain,
    Tile,
    Tolerance,
    connected,
    device_named,
    part_of,
    rectified_as,
    router_named,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..pipelines.answering.many import Answering, Tally
    from ..pipelines.answering.results import Failure, Prediction
    from ..pipelines.reporting.overlays import OverlayFiles
    from ..pipelines.reporting.report import Report

KINDS = {"--csv": ".csv", "--jsonl": ".jsonl", "--report": ".html", "--corrected": ".tif"}  # whatever the name
EPILOG = (
    "Examples:  hier predict micrograph.tif --pixel-size 0.02nm  |  hier predict scans/ --csv scans.csv  |  "
    "hier predict image.png --overlay out.svg --report out.html  |  hier predict stack.h5::/entry/data --page 3  |  "
    "hier predict seamless.png --tile"
)


def predict(
    images: Annotated[
        list[str],
        typer.Argument(
            help="Files (PNG, JPEG, TIFF, BMP, GIF, WebP, .npy, .raw, HDF5 as FILE.h5::/path, dm3, dm4, emd, ser, mrc, "
            "spm, ibw, gwy, jpk), folders, 'patterns*', or - for a list on standard input."
        ),
    ],
    as_json: Json = False,
    model: Models = None,
    router: RouterName = "soft",
    min_confidence: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Stop at the deepest node of at least this probability: 0.9 stops where p4m or p4g is undecided.",
        ),
    ] = None,
    tolerance: Tolerance = None,
    strain: Strain = None,
    rectify: Rectify = "auto",
    metric: MetricName = "auto",
    focal: Focal = None,
    pixel_size: PixelSizeText = None,
    page: Page = None,
    raw: RawText = None,
    channel: Channel = None,
    tile: Tile = False,
    csv: Annotated[Path | None, typer.Option(help="Write a row per image to this table, errors too.")] = None,
    jsonl: Annotated[Path | None, typer.Option(help="The same as JSON lines, with every detail.")] = None,
    overlay: Annotated[
        str | None,
        typer.Option(
            help="Draw cell, lattice and symmetry elements on the image: a .png, .svg or .pdf. For several images a "
            "folder, or a name with {name} in it."
        ),
    ] = None,
    corrected: Annotated[
        Path | None,
        typer.Option(help="Write the straightened image to this .tif, in floats, with its pixel size where known."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write all the evidence to one HTML page, of all images answered now.")
    ] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Start the tables of --csv and --jsonl over.")] = False,
    force: Force = False,
    device: Device = "auto",
    on: On = None,
    range_: Range = None,
) -> None:
    """Find the wallpaper group of each image, with the path through the tree.

    With --csv or --jsonl, rerun the same command to resume where it stopped: images whose files have not changed since
    are skipped, failed ones are retried. With --on all machines see the images under the same names. With --range each
    part has tables of its own: --range 3/64 --csv part-3.csv.
    """
    from ..hierarchy.locks import only_one_writes
    from ..pipelines.answering.many import Tally, predict_into, run_of
    from ..pipelines.answering.rows import CsvRows, JsonRows
    from ..pipelines.loading import cards_of, load
    from ..pipelines.outputs import check_outputs, kept_apart
    from ..pipelines.reading.names import STDIN, image_names, in_part
    from ..pipelines.reading.picture import Reading
    from ..screen.console import Screen
    from ..screen.progress import counter

    reading = Reading.of(page, raw, channel, pixel_size, tile)
    device, chosen = device if on else device_named(device), router_named(router)
    cards = cards_of(model or None)
    written = {"--csv": csv, "--jsonl": jsonl, "--report": report, "--corrected": corrected}
    check_outputs(written, [*images, *cards, *(card.with_suffix(".safetensors") for card in cards)], KINDS, force)
    if on and (overlay or report or corrected):
        raise HierError("--overlay, --report and --corrected need every image on this machine: leave --on out for them")
    part = part_of(range_)
    predictor = load(
        cards, "cpu" if on else device, chosen, min_confidence, tolerance, strain, *rectified_as(rectify, metric), focal
    )
    errors = Screen(stderr=True)
    names = in_part(kept_apart(image_names(images, sys.stdin, raw is not None), written), part)
    if overlay is not None:
        from ..pipelines.reporting.overlays import OverlayFiles

        every = list(names)  # an overlay must not replace an image that is still to be read
        overlays, names = OverlayFiles(overlay, every, force), iter(every)
    quiet = not (csv or jsonl or as_json)
    total = None
    if STDIN not in images and errors.is_terminal and not quiet:
        total = sum(1 for _ in in_part(image_names(images, sys.stdin, raw is not None), part))
    tally = Tally()
    with ExitStack() as stack:
        for path in (csv, jsonl):
            stack.enter_context(only_one_writes(path, "hier predict"))
        answering: Answering = predictor
        if on:
            from ..pipelines.answering.on_ray import OnRay

            there = stack.enter_context(connected(on, device))
            answering = OnRay(cards, there, chosen, min_confidence, tolerance, strain, predictor.distortion)
        kinds = ((csv, CsvRows), (jsonl, JsonRows))
        if csv or jsonl:
            run = run_of(cards, (chosen, predictor.min_confidence, reading, tolerance, strain, predictor.distortion))
            labels = predictor.classifier.labels
            tables = [stack.enter_context(kind(path, run, labels, restart, force)) for path, kind in kinds if path]
        else:
            tables = []
        advance = stack.enter_context(counter(errors, "images", total)) if not quiet else lambda _: None
        symmetry = bool(as_json or jsonl or overlay or report or corrected)
        results = predict_into(tables, answering, names, reading, tally, advance, symmetry)
        if overlay is not None:
            results = _drawn(results, overlays)
        if corrected is not None:
            results = _corrected(results, corrected)
        if report is not None:
            from ..pipelines.reporting.report import Report

            document = Report()
            results = _reported(results, document)
        if as_json:
            _print_json(results)
        elif tables:
            for result in results:
                _tell_failure(result)
        else:
            _print_panels(results)
    if report is not None:
        document.write(report)
        tell(f"report: {report}", err=True)
    if not tally.answered + tally.failed + tally.kept and range_ is None:
        raise HierError("no image was named: standard input was empty")
    if tables and not as_json:
        _sum_up(tally, [path for path, _ in kinds if path])
    if tally.failed:
        raise typer.Exit(2)


def _drawn(results: Iterable[Prediction | Failure], overlays: OverlayFiles) -> Iterator[Prediction | Failure]:
    """The results as they are, each with its overlay drawn; one of one colour has none, which is reported."""
    from ..pipelines.answering.results import Failure

    for result in results:
        yield result
        if not isinstance(result, Failure):
            if result.symmetry is None and result.tried is None:
                tell(f"{result.file}: {result.statement}, no overlay is drawn", err=True)
            else:
                tell(f"overlay: {overlays.draw(result)}", err=True)


def _corrected(results: Iterable[Prediction | Failure], path: Path) -> Iterator[Prediction | Failure]:
    """The results as they are; the straightened image is written, which can be one only."""
    from ..pipelines.answering.corrected import write
    from ..pipelines.answering.results import Failure

    count = 0
    for result in results:
        yield result
        count += not isinstance(result, Failure)
        if count > 1:
            raise HierError(f"--corrected {path} is for one image: {result.file} is the second")
        if not isinstance(result, Failure):
            tell(f"corrected: {path}" if write(result, path) else f"{result.file}: nothing to correct", err=True)


def _reported(results: Iterable[Prediction | Failure], document: Report) -> Iterator[Prediction | Failure]:
    """The results as they are, each added to the report while its image is in memory."""
    for result in results:
        yield result
        document.add(result)


def _print_panels(results: Iterable[Prediction | Failure]) -> None:
    from ..pipelines.answering.results import Failure
    from ..screen.console import Screen
    from ..screen.panels import panel

    console = Screen()
    for result in results:
        if not isinstance(result, Failure):
            console.print(panel(result, console.options.ascii_only))
        _tell_failure(result)


def _print_json(results: Iterable[Prediction | Failure]) -> None:
    """A JSON list, an element at a time, so that none of them has to wait for the last."""
    some = False
    for result in results:
        text = "\n".join(f"  {line}" for line in json.dumps(result.as_dict(), indent=2).splitlines())
        typer.echo(f"{',' if some else '['}\n{text}", nl=False)
        some = True
        _tell_failure(result)
    typer.echo("\n]" if some else "[]")


def _tell_failure(result: Prediction | Failure) -> None:
    from ..pipelines.answering.results import Failure

    if isinstance(result, Failure):
        fail(f"{result.file}: {result.error}")


def _sum_up(tally: Tally, files: list[Path]) -> None:
    parts = [f"{tally.answered} images answered"]
    parts += [f"{tally.kept} already there"] if tally.kept else []
    parts += [f"{tally.failed} could not be used"] if tally.failed else []
    tell(f"{', '.join(parts)}: {', '.join(str(f) for f in files)}")
