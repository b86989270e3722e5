"""`hier benchmark`: every system of Guo, Qin and Agar, and ours, trained and measured side by side."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..screen.streams import tell
from .options import ROOT, Device, Force, Json, Photos, Quiet, Verbose, device_named

if TYPE_CHECKING:
    from ..pipelines.benchmark.rows import Row

EPILOG = (
    "Examples:  hier benchmark --preset cpu --photos holiday/ --sets theirs/  |  "
    "hier benchmark --only flat --only convnext_nano"
)


def benchmark(
    preset: Annotated[str, typer.Option(help="smoke, cpu, gpu, paper, or a YAML file like theirs.")] = "smoke",
    only: Annotated[
        list[str] | None, typer.Option(help="A system, or any timm model on pixels; may be repeated.")
    ] = None,
    budget_images: Annotated[
        int | None, typer.Option(min=17, help="Limit on the images seen in the training of a network.")
    ] = None,
    sets: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Measure on a folder of labelled images, too; may be repeated."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for tables and pictures; rows that are there already are kept.")
    ] = None,
    force: Force = False,
    photos: Photos = None,
    systems: Annotated[bool, typer.Option("--list", help="List the systems, and stop.")] = False,
    show: Annotated[bool, typer.Option("--show", help="Print the preset, to copy and change, and stop.")] = False,
    device: Device = "auto",
    as_json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Train and measure the systems of Guo, Qin and Agar, and ours, on the same images.

    smoke checks in minutes that every row runs; cpu takes hours on two cores.
    gpu and paper want a GPU. Run the same command again to resume.
    MLflow tracks the runs in mlruns/; see `hier ui`.
    """
    from ..pipelines.benchmark.settings import load_preset, preset_file

    if systems:
        return _list(as_json)
    chosen = load_preset(preset).within(budget_images)
    if show:
        typer.echo(preset_file(preset).read_text(encoding="utf-8"), nl=False)
        return
    from ..hierarchy.locks import only_one
    from ..pipelines.benchmark.foreign import labelled_files, named
    from ..pipelines.benchmark.jobs import chosen_systems
    from ..pipelines.benchmark.report import check_folder, rows_in, write_all
    from ..pipelines.benchmark.run import benchmark as run
    from ..pipelines.benchmark.run import hardware
    from ..pipelines.tracking.runs import store
    from ..screen.benchmark import rich_table
    from ..screen.console import Screen
    from ..screen.progress import benchmark_progress

    names = only or []
    chosen_systems(chosen, names)
    for path in named(sets or []).values():
        labelled_files(path)
    device = device_named(device)
    folder = out or ROOT / "benchmark" / chosen.name
    check_folder(folder, force)
    command = shlex.join(["hier", *(Path(a).name if "/" in a else a for a in sys.argv[1:])])
    drawn: set[str] = set()

    def write(rows: list[Row]) -> None:
        write_all(rows, chosen, folder, command, hardware(device), photos is not None, drawn)

    with only_one(folder, "hier benchmark"), benchmark_progress(Screen(stderr=True)) as reporter:
        known = rows_in(folder)
        rows = run(chosen, names, ROOT, store(ROOT), photos, device, reporter, write, sets or [], known)
        write(rows)
    if as_json:
        typer.echo((folder / "results.json").read_text(encoding="utf-8"))
        return
    Screen().print(rich_table(rows, chosen))
    tell(f"tables and confusion matrices are in {folder}; curves of every row with `hier ui`")


def _list(as_json: bool) -> None:
    from dataclasses import asdict

    from ..models.systems import SYSTEMS

    if as_json:
        typer.echo(json.dumps({name: asdict(system) for name, system in SYSTEMS.items()}, indent=2))
        return
    from rich.box import SIMPLE
    from rich.table import Table

    from ..screen.console import Screen

    table = Table("system", "route", "what it is", box=SIMPLE, show_edge=False)
    for name, system in SYSTEMS.items():
        table.add_row(name, system.route, system.about)
    Screen().print(table)
    tell("and any timm model by its name, on pixels")
