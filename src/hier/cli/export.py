"""`hier export`: the networks of a model for other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ..hierarchy import HierError
from ..screen.streams import tell
from .options import Force, Json, Model

EPILOG = "Example:  hier export --onnx networks --model mlruns/models/wallpaper"


def export(
    onnx: Annotated[
        Path, typer.Option(help="Folder for the ONNX files: a new one, an empty one, or an earlier export.")
    ],
    model: Model = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write the network of every node as ONNX, with what it reads and answers described in model.json.

    check.npz beside them has the evidence of a few patterns and what PyTorch answers, to compare with. Needs onnx and
    onnxscript; takes a few seconds a node.
    """
    from ..models.classifier import Classifier
    from ..pipelines.loading import cards_of
    from ..pipelines.onnx_files import ABOUT, check_onnx, write_onnx
    from ..screen.console import Screen
    from ..screen.progress import progress

    check_onnx()
    if onnx.exists() and not onnx.is_dir():
        raise HierError(f"--onnx {onnx} is a file: give a folder")
    if onnx.exists() and any(onnx.iterdir()) and not (onnx / ABOUT).exists() and not force:
        raise HierError(f"--onnx {onnx} holds other files: give a new or empty folder, or --force to write beside them")
    classifier = Classifier.load(cards_of(model))
    with progress(Screen(stderr=True), "networks", len(classifier.nodes)) as advance:
        made = write_onnx(classifier, onnx, advance)
    if as_json:
        typer.echo(
            json.dumps({"model": str(made.about), "nodes": {k: str(v) for k, v in made.nodes.items()}}, indent=2)
        )
        return
    tell(f"wrote {len(made.nodes)} networks to {onnx}; {ABOUT} says what they read and answer")
