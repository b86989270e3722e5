"""`hier predict`: the group of each image, with the path through the tree."""

from __future__ import annotations

import json
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..hierarchy import HierError
from ..screen.streams import fail, tell
from .checks import check_asked, check_suffix, check_there
from .options import (
    AskedGroup,
    Basis,
    Caption,
    CellFile,
    Channel,
    CifFile,
    Crop,
    Cut,
    Device,
    Dots,
    Focal,
    Force,
    HklFile,
    Json,
    MaskFile,
    MetricName,
    Models,
    On,
    Origin,
    Page,
    PixelSizeText,
    Range,
    RawText,
    Rectify,
    Refine,
    Regions,
    RouterName,
    Strain,
    Table,
    TableCsv,
    Tile,
    Tolerance,
    Width,
    connected,
    device_named,
    numbers_in,
    part_of,
    rectified_as,
    router_named,
    told_as_options,
)
from .written import added, drawn, exported, reported, tell_skipped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..pipelines.answering.many import Answering, Tally
    from ..pipelines.answering.results import Failure, Prediction

KINDS = {
    "--csv": ".csv",
    "--jsonl": ".jsonl",
    "--report": ".html",
    "--corrected": ".tif",
    "--table-csv": ".table",
    "--hkl": ".hk",
    "--cif": ".cif",
}  # whatever the name
EPILOG = (
    "Examples:  hier predict micrograph.tif --pixel-size 0.02nm  |  hier predict scans/ --csv scans.csv  |  "
    "hier predict image.png --overlay out.svg --report out.html  |  hier predict stack.h5::/entry/data --page 3  |  "
    "hier predict seamless.png --tile  |  hier predict sem.png --crop 0,0,1024,884"
)


def predict(
    images: Annotated[
        list[str],
        typer.Argument(
            help="Files (PNG, JPEG, TIFF, BMP, GIF, WebP, .npy, .raw, HDF5 as FILE.h5::/path, mat, nc, dm3, dm4, emd, "
            "ser, emi, mrc, spm, ibw, gwy, jpk, sxm, nid, stp, top, zarr, zspy), folders, 'patterns*', or - for a list "
            "on standard input."
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
    regions: Regions = False,
    basis: Basis = None,
    refine: Refine = True,
    group: AskedGroup = None,
    origin: Origin = None,
    pixel_size: PixelSizeText = None,
    page: Page = None,
    raw: RawText = None,
    channel: Channel = None,
    tile: Tile = False,
    crop: Crop = None,
    mask: MaskFile = None,
    cut: Cut = True,
    csv: Annotated[Path | None, typer.Option(help="Write a row per image to this table, errors too.")] = None,
    jsonl: Annotated[Path | None, typer.Option(help="The same as JSON lines, with every detail.")] = None,
    overlay: Annotated[
        str | None,
        typer.Option(
            help="Draw cell, lattice and symmetry elements on the image: a .png, .svg or .pdf. For several images a "
            "folder, or a name with {name} in it."
        ),
    ] = None,
    size: Width = None,
    dpi: Dots = None,
    caption: Caption = True,
    corrected: Annotated[
        Path | None,
        typer.Option(help="Write the straightened image to this .tif, in floats, with its pixel size where known."),
    ] = None,
    table: Table = False,
    table_csv: TableCsv = None,
    cell: CellFile = None,
    hkl: HklFile = None,
    cif: CifFile = None,
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
    if overlay is None and (size, dpi, caption) != (None, None, True):
        raise HierError("--size, --dpi and --no-caption are for --overlay: give it too, or leave them out")
    from ..pipelines.reading.picture import Reading

    reading = Reading.of(page, raw, channel, pixel_size, tile, crop, mask, cut)
    chosen, straightened, part = router_named(router), rectified_as(rectify, metric), part_of(range_)
    check_asked(basis, group, origin)
    check_suffix("overlay", overlay)
    if on and (overlay or report or corrected):
        raise HierError("--overlay, --report and --corrected need every image on this machine: leave --on out for them")
    tabled = table or table_csv is not None
    if on and (tabled or cell or hkl or cif):
        raise HierError(
            "--table, --table-csv, --cell, --hkl and --cif need every image on this machine: leave --on out"
        )
    if not (csv or jsonl or as_json or report):  # which tell of every file
        check_there(images)
    from ..hierarchy.locks import only_one_writes
    from ..pipelines.answering.exports import check_names
    from ..pipelines.answering.many import Tally, predict_into, run_of
    from ..pipelines.answering.rows import CsvRows, JsonRows
    from ..pipelines.loading import cards_of, load
    from ..pipelines.outputs import check_outputs, kept_apart
    from ..pipelines.reading.names import STDIN, image_names, in_part
    from ..screen.console import Screen
    from ..screen.progress import counter

    device = device if on else device_named(device)
    cards = cards_of(model or None)
    written = {
        "--csv": csv,
        "--jsonl": jsonl,
        "--report": report,
        "--corrected": corrected,
        "--table-csv": table_csv,
        "--cell": cell,
        "--hkl": hkl,
        "--cif": cif,
    }
    check_names(written)
    kinds_of = KINDS | {"--cell": ".cell" if cell is not None and cell.suffix.lower() == ".npy" else ".tif"}
    check_outputs(written, [*images, *cards, *(card.with_suffix(".safetensors") for card in cards)], kinds_of, force)
    with told_as_options("basis", "group", "origin", "no-refine"):
        predictor = load(
            cards, "cpu" if on else device, chosen, min_confidence, tolerance, strain, *straightened,
            focal, regions, numbers_in(basis), refine, group, numbers_in(origin),
        )  # fmt: skip
    errors = Screen(stderr=True)
    skipped: Counter[str] = Counter()
    names = in_part(kept_apart(image_names(images, sys.stdin, raw is not None, skipped), written), part)
    if overlay is not None:
        from ..pipelines.drawing.overlay import Style
        from ..pipelines.reporting.overlays import OverlayFiles

        every = list(names)  # an overlay must not replace an image that is still to be read
        overlays, names = OverlayFiles(overlay, every, force, Style(size, dpi, caption)), iter(every)
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
            answering = OnRay(cards, there, chosen, min_confidence, tolerance, strain, predictor.rectification, regions,
                              predictor.asked)  # fmt: skip
        if tabled:
            from ..pipelines.answering.tabled import Tabled

            answering = Tabled(answering)
        kinds = ((csv, CsvRows), (jsonl, JsonRows))
        if csv or jsonl:
            settings = (chosen, predictor.min_confidence, reading, tolerance, strain, predictor.rectification, regions)
            more = [*([predictor.asked] if predictor.asked else []), *(["table"] if tabled else [])]
            run = run_of(cards, (*settings, *more))
            labels = predictor.classifier.labels
            tables = [stack.enter_context(kind(path, run, labels, restart, force)) for path, kind in kinds if path]
        else:
            tables = []
        advance = stack.enter_context(counter(errors, "images", total)) if not quiet else lambda _: None
        symmetry = bool(as_json or jsonl or overlay or report or corrected or tabled or cell or hkl or cif)
        results = predict_into(tables, answering, names, reading, tally, advance, symmetry)
        if overlay is not None:
            results = drawn(results, overlays)
        results = _exported(results, {"--corrected": corrected, "--cell": cell, "--hkl": hkl, "--cif": cif})
        if table_csv is not None:
            from ..pipelines.answering.tabled import table_file

            results = added(results, stack.enter_context(table_file(table_csv)))
        if report is not None:
            from ..pipelines.reporting.report import Report

            document = Report()
            results = reported(results, document)
        if as_json:
            _print_json(results)
        elif tables:
            for result in results:
                _tell_failure(result)
        else:
            _print_panels(results, table)
    tell_skipped(skipped)
    if table_csv is not None:
        tell(f"table: {table_csv}", err=True)
    if report is not None:
        document.write(report)
        tell(f"report: {report}", err=True)
    if not tally.answered + tally.failed + tally.kept and range_ is None:
        raise HierError("no image was named: standard input was empty")
    if tables and not as_json:
        _sum_up(tally, [path for path, _ in kinds if path])
    if tally.failed:
        raise typer.Exit(2)


def _exported(results: Iterable[Prediction | Failure], files: dict[str, Path | None]) -> Iterator[Prediction | Failure]:
    """The results as they are, those of one image on their way into the files of options."""
    from ..pipelines.answering.corrected import write
    from ..pipelines.answering.exports import WRITERS

    for option, path in files.items():
        if path is not None:
            writer = write if option == "--corrected" else WRITERS[option][0]
            lacking = "nothing to correct" if option == "--corrected" else "no group"
            results = exported(results, option, path, writer, lacking)
    yield from results


def _print_panels(results: Iterable[Prediction | Failure], table: bool = False) -> None:
    from ..pipelines.answering.results import Failure
    from ..screen.console import Screen
    from ..screen.groups import group_table
    from ..screen.panels import panel

    console = Screen()
    for result in results:
        if not isinstance(result, Failure):
            console.print(panel(result, console.options.ascii_only))
            if table:
                console.print(group_table(result, console.width))
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
