"""`hier promote`, `hier compare`, `hier assemble`: which trained nodes make the classifier, as recorded in MLflow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ..screen.streams import tell
from .options import ROOT, Device, Force, Json, Photos, device_named

COMPARE = "Examples:  hier compare  |  hier compare rotation --metric cross_atoms/accuracy"
PROMOTE = "Examples:  hier promote all  |  hier promote rotation --version 2  |  hier promote tree --version 1"
ASSEMBLE = "Example:  hier promote all && hier assemble && hier predict image.png --model models:/hier-tree@champion"
TreeName = Annotated[str, typer.Option(help="The tree of the nodes: wallpaper, paper, or a YAML file.")]


def compare(
    node: Annotated[list[str] | None, typer.Argument(help="Nodes as `hier tree` names them; all if left out.")] = None,
    metric: Annotated[str, typer.Option(help="The metric to rank by, for instance valid/loss.")] = "valid/accuracy",
    tree: TreeName = "wallpaper",
    as_json: Json = False,
) -> None:
    """Show all trainings of a node side by side, best first, with the versions that MLflow keeps of them."""
    from ..hierarchy import load_tree
    from ..pipelines.tracking.compare import compare as run
    from ..pipelines.tracking.runs import store
    from ..screen.comparisons import comparison_table
    from ..screen.console import Screen

    entries = run(store(ROOT), load_tree(tree), node or [], metric)
    if as_json:
        typer.echo(json.dumps({name: [e.as_dict() for e in of_node] for name, of_node in entries.items()}, indent=2))
        return

    Screen().print(comparison_table(entries, metric))


def promote(
    node: Annotated[
        list[str], typer.Argument(help="Nodes as `hier tree` names them, periodic (the gate), all, or tree.")
    ],
    version: Annotated[int | None, typer.Option(min=1, help="This version; the candidate if left out.")] = None,
    tree: TreeName = "wallpaper",
    as_json: Json = False,
) -> None:
    """Make a version of a node its champion: what `hier assemble` takes. Earlier versions are kept.

    The newest training of a node is its candidate. Changing the alias in the MLflow UI (`hier ui`) has the same effect.
    """
    from dataclasses import asdict

    from ..hierarchy import load_tree
    from ..pipelines.tracking.registry import promote as run
    from ..pipelines.tracking.runs import store

    moves = run(store(ROOT), load_tree(tree), node, version)
    if as_json:
        typer.echo(json.dumps([asdict(move) for move in moves], indent=2))
        return
    for move in moves:
        before = {None: "the first", move.version: "it was already"}.get(move.before, f"before: version {move.before}")
        tell(f"{move.node}: version {move.version} of {move.model} is the champion ({before})")


def assemble(
    out: Annotated[Path | None, typer.Option(help="Folder for the bundle; mlruns/models/TREE if left out.")] = None,
    force: Force = False,
    alias: Annotated[str, typer.Option(help="Which version of each node: champion, or candidate for the newest.")] = (
        "champion"
    ),
    count: Annotated[int, typer.Option(min=17, help="Patterns of each source to evaluate it on.")] = 340,
    seed: Annotated[int, typer.Option(min=0, max=10**9, help="Random seed (disjoint from all training seeds).")] = 0,
    size: Annotated[int, typer.Option(min=64, max=2048, help="Their height and width in px.")] = 256,
    calibration: Annotated[int, typer.Option(min=17, help="Patterns in each of three sets to calibrate it on.")] = 340,
    photos: Photos = None,
    tree: TreeName = "wallpaper",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Join the champions of all nodes to a classifier, calibrate and evaluate it, and make it champion of hier-tree.

    For a tree NAME other than wallpaper, nodes are registered as hier-NAME-NODE and the whole as hier-tree-NAME.
    """
    from ..hierarchy import load_tree
    from ..pipelines.tracking.runs import store
    from ..pipelines.training.assemble import Trial
    from ..pipelines.training.assemble import assemble as run
    from ..pipelines.training.calibrate import check_files
    from ..screen.console import Screen
    from ..screen.progress import training_progress

    loaded = load_tree(tree)
    folder = out or ROOT / "models" / loaded.name
    check_files(folder / f"{loaded.name}.json", force)
    device = device_named(device)
    with training_progress(Screen(stderr=True)) as reporter:
        made = run(
            store(ROOT), loaded, alias, folder, Trial(count, calibration, seed, size, photos), device, reporter.stage,
            force,
        )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(made.as_dict(), indent=2))
        return
    from ..screen.comparisons import figures_table

    Screen().print(figures_table(made.figures))
    tell(f"version {made.version} of {made.model} is the champion; the bundle is in {folder}")
    tell(f"use it: hier predict IMAGE --model models:/{made.model}@champion, or --model {folder}")
