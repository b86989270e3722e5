"""The command line. Nothing heavy is imported before a command is known: `hier --help` must answer at once."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import __version__, cli_diagram, cli_generate
from .hierarchy import HierError

if TYPE_CHECKING:
    from .pipelines.evaluate import Report

EPILOG = "Examples:  hier predict image.png  |  hier train --level rotation  |  hier ui  |  hier tree"
app = typer.Typer(
    no_args_is_help=True, add_completion=False, rich_markup_mode="rich", epilog=EPILOG,
    help="Tell which of the 17 wallpaper groups a periodic image has, step by step down the crystallographer's tree.",
)  # fmt: skip

INTERRUPTED = 130  # typer's exit code for it
ROOT = Path("mlruns")
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, mps, or auto for the fastest there is.")]
Photos = Annotated[Path | None, typer.Option(help="Folder of photographs; scikit-image's and textures if left out.")]
Model = Annotated[str | None, typer.Option(help="Folder or card of a trained model; the bundled one if left out.")]
RouterName = Annotated[str, typer.Option(help="soft (all nodes weighed) or hard (likeliest choice at each node).")]


def main() -> None:
    """Entry point: errors of the user become one line and exit code 2, an interruption exit code 130."""
    try:
        app()
    except HierError as error:
        _fail(str(error))
        sys.exit(2)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            _fail("interrupted; the same command again takes up a training where it stopped")
        raise


def _fail(message: str) -> None:
    typer.secho(f"hier: {message}", fg="red", err=True)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"hier {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None: ...


def _device(name: str) -> str:
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.zeros(1, device=name).tolist()
    except (RuntimeError, AssertionError) as error:
        raise HierError(f"device {name!r} cannot be used: {str(error).splitlines()[0]}; cpu always can") from error
    return name


def _router(name: str) -> Any:
    from .hierarchy import UnknownNameError
    from .models.router import ROUTERS

    if name not in ROUTERS:
        raise UnknownNameError("router", name, ROUTERS)
    return name


app.command(epilog=cli_generate.EPILOG)(cli_generate.generate)


@app.command()
def tree(
    name: Annotated[str, typer.Argument(help="wallpaper, paper, or a YAML file.")] = "wallpaper",
    diagram: Annotated[str | None, typer.Option(help="Draw the symmetry elements of this group instead.")] = None,
    out: Annotated[Path | None, typer.Option(help="The diagram's file, .svg or .png; GROUP.svg if left out.")] = None,
    as_json: Json = False,
) -> None:
    """Print a hierarchy: its levels, nodes, choices and labels. Or draw a group's cell with --diagram."""
    if diagram is not None:
        return cli_diagram.diagram(diagram, out, as_json)
    from rich.console import Console

    from .hierarchy import load_tree, rich_tree

    loaded = load_tree(name)
    if as_json:
        typer.echo(loaded.to_spec().model_dump_json(indent=2))
        return
    Console().print(rich_tree(loaded))


@app.command(epilog="Example:  hier predict micrograph.tif --json")
def predict(
    images: Annotated[list[str], typer.Argument(help="Image files: PNG, JPEG, TIFF, BMP, GIF, WebP, .npy.")],
    as_json: Json = False,
    model: Model = None,
    router: RouterName = "soft",
    device: Device = "auto",
) -> None:
    """Find the wallpaper group of each image, with the path through the tree."""
    from rich.console import Console

    from .pipelines.predict import Failure, load

    device, chosen = _device(device), _router(router)
    predictor = load(model, device, chosen)
    results = predictor.predict_each(images)
    if as_json:
        typer.echo(json.dumps([r.as_dict() for r in results], indent=2))
    else:
        from .pipelines.console import panel

        console = Console()
        for result in results:
            if not isinstance(result, Failure):
                console.print(panel(result))
    failed = [r for r in results if isinstance(r, Failure)]
    for failure in failed:
        _fail(f"{failure.file}: {failure.error}")
    if failed:
        raise typer.Exit(2)


@app.command(epilog="Example:  hier train --level rotation --photos holiday/ --count 5000")
def train(
    level: Annotated[str | None, typer.Option(help="rotation, reflection, finer (the tree's levels), or all.")] = None,
    node: Annotated[
        list[str] | None, typer.Option(help="A single node, as `hier tree` names it; may be repeated.")
    ] = None,
    source: Annotated[list[str] | None, typer.Option(help="photos, atoms or noise; may be repeated.")] = None,
    photos: Photos = None,
    count: Annotated[int | None, typer.Option(help="Training images.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of the backbone on all groups.")] = None,
    tune_epochs: Annotated[int | None, typer.Option(help="Epochs of fine-tuning at each node.")] = None,
    backbone: Annotated[str | None, typer.Option(help="Any timm model, for instance resnet18.")] = None,
    pretrained: Annotated[bool | None, typer.Option("--pretrained", help="Start from timm's weights.")] = None,
    tree: Annotated[str | None, typer.Option(help="wallpaper, paper, or a YAML file.")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file with any of these settings and more.")] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed, another training.")] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Train a classifier at each node of a level: a backbone on all groups, fine-tuned at every node.

    The same command again resumes an interrupted training. Runs are tracked by MLflow in mlruns/; see `hier ui`.
    """
    from .pipelines.settings import train_settings

    settings = train_settings(
        config, tree=tree, source=source or None, photos=photos, count=count, epochs=epochs,
        tune_epochs=tune_epochs, backbone=backbone, pretrained=pretrained, seed=seed,
    )  # fmt: skip
    from rich.console import Console

    from .hierarchy import load_tree
    from .pipelines.checks import check
    from .pipelines.console import training_progress, training_table
    from .pipelines.tracking import store
    from .pipelines.train import nodes_at
    from .pipelines.train import train as run

    chosen = nodes_at(load_tree(settings.tree), level, node or [])
    device = _device(device)
    check(settings)
    console = Console(stderr=True)
    with training_progress(console) as reporter:
        result = run(settings, chosen, ROOT, store(ROOT), device, reporter)
    if as_json:
        typer.echo(json.dumps({"card": str(result.card), "missing": list(result.missing),
                               "nodes": {n.node: dict(n.metrics) for n in result.nodes}}, indent=2))  # fmt: skip
        return
    out = Console()
    out.print(training_table(result))
    out.print(f"nodes are in {result.card.parent}; see them side by side with [bold]hier ui[/bold]")
    if result.missing:
        out.print(f"still to train for a whole model: {', '.join(result.missing)}")
    else:
        out.print(f"use them: [bold]hier predict IMAGE --model {result.card.parent}[/bold]")


@app.command(
    epilog="Examples:  hier evaluate --source atoms --count 1700 --seed 7  |  hier evaluate my/labelled/images"
)
def evaluate(
    folder: Annotated[Path | None, typer.Argument(help="Folder with one subfolder of images for each group.")] = None,
    source: Annotated[
        str, typer.Option(help="Generated patterns instead: photos, atoms or noise; or none.")
    ] = "photos",
    count: Annotated[int, typer.Option(min=1, help="How many of them.")] = 1700,
    seed: Annotated[int, typer.Option(min=0, max=10**9, help="Which of them; no training sees these seeds.")] = 0,
    size: Annotated[int, typer.Option(min=64, max=2048, help="Height and width in px.")] = 256,
    orientation: Annotated[str, typer.Option(help="any or aligned.")] = "any",
    construction: Annotated[str, typer.Option(help="fold (exact) or paste (whole pixels, always aligned).")] = "fold",
    cells: Annotated[str | None, typer.Option(help="Fewest-most primitive cells in view, for instance 4-60.")] = None,
    photos: Photos = None,
    corrupt: Annotated[list[str] | None, typer.Option(help="NAME=SEVERITY (0 to 5); may be repeated.")] = None,
    model: Model = None,
    router: RouterName = "soft",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Measure accuracy, on generated patterns or on a folder of labelled images.

    With --source none: on images without a lattice (photographs, noise, stripes, scattered atoms, slopes), which share
    of them is held to be no pattern.
    """
    from rich.console import Console

    from .pipelines.console import progress
    from .pipelines.evaluate import (
        evaluate_folder,
        evaluate_patterns,
        evaluate_refusals,
        folder_count,
        parse_corruptions,
    )
    from .pipelines.predict import load

    device, chosen = _device(device), _router(router)
    corruptions = parse_corruptions(corrupt or [])
    dataset: Any = _dataset(source, seed, size, orientation, construction, cells, corruptions)
    classifier = load(model, device).classifier
    with progress(Console(stderr=True), "images", folder_count(folder) if folder else count) as advance:
        if folder is not None:
            report = evaluate_folder(classifier, folder, chosen, advance)
        elif source == "none":
            refusals = evaluate_refusals(classifier, dataset, count, photos, advance)
        else:
            report = evaluate_patterns(classifier, dataset, count, photos, chosen, advance)
    if folder is None and source == "none":
        _show_refusals(refusals, as_json)
    else:
        _show(report, as_json)


def _dataset(
    source: str, seed: int, size: int, orientation: str, construction: str, cells: str | None, corruptions: Any
) -> Any:
    from .cli_generate import cell_range
    from .datasets import SOURCES, NonPatternDataset, PatternDataset
    from .hierarchy import UnknownNameError

    if source == "none":
        return NonPatternDataset(seed, size, corruptions=corruptions)
    if source not in SOURCES:
        raise UnknownNameError("source", source, [*SOURCES, "none"])
    return PatternDataset(
        source, seed, size, orientation=orientation, construction=construction,  # type: ignore[arg-type]
        cells=cell_range(cells), corruptions=corruptions,
    )  # fmt: skip


def _show_refusals(refusals: dict[str, float], as_json: bool) -> None:
    from rich.console import Console

    from .pipelines.console import refusal_table

    if as_json:
        typer.echo(json.dumps(refusals))
    else:
        Console().print(refusal_table(refusals))


def _show(report: Report, as_json: bool) -> None:
    from rich.console import Console

    from .pipelines.console import report_tables

    if as_json:
        typer.echo(json.dumps(report.as_dict()))
    else:
        for table in report_tables(report):
            Console().print(table)
    for file, error in report.errors.items():
        _fail(f"{file}: {error}")
    if report.errors:
        raise typer.Exit(2)


@app.command()
def ui(
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at.")] = 5000,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True,
) -> None:
    """Open MLflow's page on the trainings of this folder (or of MLFLOW_TRACKING_URI)."""
    from .pipelines.tracking import store
    from .pipelines.ui import serve_ui

    serve_ui(store(ROOT), host, port, browser)
