"""`hier train`: a classifier at each node of a level or of the whole tree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..hierarchy import HierError
from ..screen.streams import tell
from .options import ROOT, Device, Force, Json, On, Quiet, Verbose, connected

if TYPE_CHECKING:
    from ..pipelines.training.train import TrainResult

EPILOG = (
    "Example:  hier train --level rotation --photos holiday/ --count 5000.  "
    "Further settings, in a file for --config (`hier config` prints one with all of them, and what they mean):  "
    "valid_count, cross_count, sizes, augment, pasted, whitened, disorder, workmanship, near_misses, batch, lr, tune_lr"
)
WHAT, IMAGES, NETWORK = "What to train", "Images", "Networks"


def train(
    level: Annotated[
        str | None, typer.Option(help="rotation, reflection, finer (the tree's levels), or all.", rich_help_panel=WHAT)
    ] = None,
    node: Annotated[
        list[str] | None,
        typer.Option(help="One node, by its name in `hier tree`; may be repeated.", rich_help_panel=WHAT),
    ] = None,
    tree: Annotated[
        str | None,
        typer.Option(help="wallpaper, paper, or a YAML file; wallpaper if left out.", rich_help_panel=WHAT),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML file with these and further settings.", rich_help_panel=WHAT)
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(
            help="photos, atoms, noise or outlines; may be repeated; photos if left out.", rich_help_panel=IMAGES
        ),
    ] = None,
    photos: Annotated[
        Path | None,
        typer.Option(help="Folder of photographs; scikit-image's and textures if left out.", rich_help_panel=IMAGES),
    ] = None,
    count: Annotated[
        int | None, typer.Option(help="Training images; 3400 if left out.", rich_help_panel=IMAGES)
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Random seed, of images and weights; 0 if left out.", rich_help_panel=IMAGES)
    ] = None,
    endless: Annotated[
        bool | None,
        typer.Option(
            "--endless",
            help="Make each image when it is needed, once; no evidence is kept. For a card.",
            rich_help_panel=IMAGES,
        ),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="Any timm model, for instance resnet18; lcnet_050 if left out.", rich_help_panel=NETWORK),
    ] = None,
    pretrained: Annotated[
        bool | None,
        typer.Option("--pretrained", help="Start from timm's weights, which are downloaded.", rich_help_panel=NETWORK),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(help="Epochs of the backbone on all groups; 15 if left out.", rich_help_panel=NETWORK),
    ] = None,
    tune_epochs: Annotated[
        int | None,
        typer.Option(help="Epochs of fine-tuning at each node; 6 if left out.", rich_help_panel=NETWORK),
    ] = None,
    force: Force = False,
    device: Device = "auto",
    on: On = None,
    as_json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Train a classifier at each node of a level: a backbone on all groups, fine-tuned at every node.

    Rerun the same command to resume an interrupted training. Runs are tracked by MLflow in mlruns/; see `hier ui`.
    With --on the backbone is trained here and the nodes on the machines of a cluster, in a folder that all of them see.
    """
    from ..pipelines.training.settings import train_settings

    settings = train_settings(
        config, tree=tree, source=source or None, photos=photos, count=count, epochs=epochs,
        tune_epochs=tune_epochs, backbone=backbone, pretrained=pretrained, seed=seed, endless=endless,
    )  # fmt: skip
    from ..hierarchy import load_tree
    from ..pipelines.tracking.runs import store
    from ..pipelines.training.settings import check
    from ..pipelines.training.train import nodes_at
    from ..pipelines.training.train import train as run
    from ..screen.console import Screen
    from ..screen.progress import training_progress

    chosen = nodes_at(load_tree(settings.tree), level, node or [])
    check(settings)
    if on and settings.endless:
        raise HierError("--endless trains all nodes at once, in one process: leave it out, or --on")
    console = Screen(stderr=True)
    with connected(on, device) as there, training_progress(console) as reporter:
        result = run(settings, chosen, ROOT, store(ROOT), there, reporter, on is not None, force)
    if result is not None:  # else this is one of several processes, of which the first tells what was made
        _tell(result, as_json)


def _tell(result: TrainResult, as_json: bool) -> None:
    from ..screen.console import Screen
    from ..screen.tables import training_table

    if as_json:
        typer.echo(json.dumps({"card": str(result.card), "missing": list(result.missing),
                               "nodes": {n.node: dict(n.metrics) for n in result.nodes}}, indent=2))  # fmt: skip
        return
    Screen().print(training_table(result))
    tell(f"nodes are in {result.card.parent}; see them side by side with `hier ui`")
    if result.missing:
        tell(f"still to train for a whole model: {', '.join(result.missing)}")
    else:
        tell(f"use them: hier predict IMAGE --model {result.card.parent}")
