"""`hier promote`, `hier compare`, `hier assemble`: which trained nodes make the classifier, as recorded in MLflow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..hierarchy import HierError
from ..screen.streams import fail, tell
from .options import ROOT, Device, Force, Json, Photos, Quiet, Verbose, device_named

if TYPE_CHECKING:
    from ..pipelines.training.assemble import Assembled

COMPARE = (
    "Examples:  hier compare  |  hier compare rotation --metric cross_atoms/accuracy  |  hier compare --html nodes.html"
)
PROMOTE = "Examples:  hier promote all --best  |  hier promote rotation --version 2  |  hier promote tree --version 1"
ASSEMBLE = "Example:  hier promote all && hier assemble && hier predict image.png --model models:/hier-tree@champion"
TreeName = Annotated[str, typer.Option(help="The tree of the nodes: wallpaper, paper, or a YAML file.")]


def compare(
    node: Annotated[list[str] | None, typer.Argument(help="Nodes as `hier tree` names them; all if left out.")] = None,
    metric: Annotated[str, typer.Option(help="The metric to rank by, for instance valid/loss.")] = "valid/accuracy",
    html: Annotated[
        Path | None,
        typer.Option(help="Write one page, node by training, with bootstrap intervals and confusion matrices."),
    ] = None,
    force: Force = False,
    tree: TreeName = "wallpaper",
    as_json: Json = False,
) -> None:
    """Show all trainings of a node side by side, best first, with the versions that MLflow keeps of them."""
    from ..hierarchy import load_tree
    from ..pipelines.outputs import check_outputs
    from ..pipelines.tracking.compare import compare as run
    from ..pipelines.tracking.page import confusions, write_comparison
    from ..pipelines.tracking.runs import store
    from ..screen.comparisons import comparison_table
    from ..screen.console import Screen

    if html is not None and html.suffix.lower() not in (".html", ".htm"):
        raise HierError(f"--html {html}: give a name that ends in .html")
    check_outputs({"--html": html}, [tree], {"--html": ".html"}, force)
    where, loaded = store(ROOT), load_tree(tree)
    entries = run(where, loaded, node or [], metric)
    if html is not None:
        write_comparison(html, loaded, entries, confusions(where, entries), metric)
        tell(f"{html} is written", err=True)
    if as_json:
        typer.echo(json.dumps({name: [e.as_dict() for e in of_node] for name, of_node in entries.items()}, indent=2))
        return

    Screen().print(comparison_table(entries, metric))


def promote(
    node: Annotated[
        list[str], typer.Argument(help="Nodes as `hier tree` names them, periodic (the gate), all, or tree.")
    ],
    version: Annotated[int | None, typer.Option(min=1, help="This version; the candidate if left out.")] = None,
    best: Annotated[bool, typer.Option("--best", help="The version with the best --metric, not the newest.")] = False,
    metric: Annotated[
        str | None, typer.Option(help="What versions are judged by; valid/accuracy if left out, of tree test/accuracy.")
    ] = None,
    tree: TreeName = "wallpaper",
    as_json: Json = False,
) -> None:
    """Make a version of a node its champion: what `hier assemble` takes. Earlier versions are kept.

    The newest training of a node is its candidate. A warning tells where another version is better; --best takes that.
    Changing the alias in the MLflow UI (`hier ui`) has the same effect.
    """
    from dataclasses import asdict

    from ..hierarchy import load_tree
    from ..pipelines.tracking.promotion import promote as run
    from ..pipelines.tracking.runs import store
    from ..screen.comparisons import told

    moves = run(store(ROOT), load_tree(tree), node, version, best, metric)
    if as_json:
        typer.echo(json.dumps([asdict(move) for move in moves], indent=2))
        return
    for move in moves:
        before = {None: "the first", move.version: "it was already"}.get(move.before, f"before: version {move.before}")
        figure = f", {told(move.metric, move.figure)}" if move.figure is not None else ""
        tell(f"{move.node}: version {move.version} of {move.model} is the champion ({before}{figure})")
        if move.its_figure is not None and version is None:
            options = f"{_of(tree)} --best" + (f" --metric {metric}" if metric else "")
            fail(f"{move.node}: version {move.better} is better, {told(move.metric, move.its_figure)}: "
                 f"`hier promote {move.node}{options}` takes it")  # fmt: skip


def assemble(
    out: Annotated[Path | None, typer.Option(help="Folder for the bundle; mlruns/models/TREE if left out.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a better champion, and an output even if hier did not write it.")
    ] = False,
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
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Join the champions of all nodes to a classifier, calibrate and evaluate it, and make it champion of hier-tree.

    A champion of hier-tree that was better on its test images stays champion, unless --force is given.
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
    _tell(made, folder, _of(tree))


def _tell(made: Assembled, folder: Path, of: str) -> None:
    from ..pipelines.tracking.promotion import TESTED
    from ..screen.comparisons import figures_table, told
    from ..screen.console import Screen

    Screen().print(figures_table(made.figures))
    if made.kept is None:
        tell(f"version {made.version} of {made.model} is the champion; the bundle is in {folder}")
        tell(f"use it: hier predict IMAGE --model models:/{made.model}@champion, or --model {folder}")
        return
    tell(f"version {made.version} of {made.model} is registered; the bundle is in {folder}")
    fail(
        f"version {made.kept.version} stays champion: {told(TESTED, made.kept.figure)}, that of version {made.version} "
        f"{told('accuracy', made.tested).partition(' ')[2]}. "
        f"`hier promote tree{of} --version {made.version}` or `hier assemble{of} --force` replaces it"
    )


def _of(tree: str) -> str:
    """The option that names a tree, in a command."""
    return "" if tree == "wallpaper" else f" --tree {tree}"
