"""`hier explain`: a picture of what decided an answer, pixels or symmetry maps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ..screen.streams import tell
from .checks import check_suffix, check_there
from .options import ROOT, Device, Force, Json, Model, device_named

EPILOG = "Examples:  hier explain image.png  |  hier explain image.png --backbone resnet --out why.png"


def explain(
    image: Annotated[str, typer.Argument(help="An image file.")],
    backbone: Annotated[
        str | None, typer.Option(help="A system of `hier benchmark` that reads pixels; our own model if left out.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The picture, .png, .svg or .pdf; <image>-why.png if left out.")
    ] = None,
    force: Force = False,
    model: Model = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Show what the answer of `hier predict` depends on: which symmetry maps, or with --backbone which pixels.

    Of an image that is not periodic the gate is explained, which refused it.
    The networks on pixels are those that `hier benchmark` has trained in this folder.
    """
    check_there([image])
    check_suffix("picture", out)
    from ..hierarchy import HierError
    from ..pipelines.answering.words import percent
    from ..pipelines.benchmark.explain import draw_pixels
    from ..pipelines.outputs import check_outputs
    from ..pipelines.reading.images import read_judged
    from ..pipelines.reporting.explained import check_out, draw_maps

    path = out or Path(f"{Path(image).stem}-why.png")
    check_out(path)
    check_outputs({"--out": path}, [image], force=force)
    device = device_named(device)
    if backbone is not None:
        from ..pipelines.benchmark.explain import explain_pixels, fitted, load_ensemble

        ensemble, side = load_ensemble(ROOT, backbone)
        answer = explain_pixels(ensemble.to(device), fitted(read_judged(image), side))
        draw_pixels(answer, backbone, path)
        shown = {"answer": answer.answer, "probability": answer.probability, "picture": str(path)}
        tell(json.dumps(shown) if as_json else f"{answer.answer} ({100 * answer.probability:.1f} %): drew {path}")
        return
    from ..pipelines.answering.explain import explain_maps
    from ..pipelines.answering.refused import advice
    from ..pipelines.answering.results import Failure
    from ..pipelines.loading import load

    predictor = load(model, device)
    results = predictor.predict_each([image], symmetry=True)
    found = next(results)  # until the next is asked for, the picture and its analysis are at hand
    if isinstance(found, Failure):
        raise HierError(f"{image}: {found.error}")
    assert found.source is not None
    view = found.source.analysis().view
    steps = explain_maps(predictor.classifier, view.pixels, view.lattice, found)
    draw_maps(steps, view.image, path)
    if as_json:
        told = {"group": found.group, "statement": found.statement, "confidence": found.confidence}
        typer.echo(json.dumps({**told, "path": [vars(step) for step in steps], "picture": str(path)}, indent=2))
        return
    tell(found.statement)
    for step in steps:
        name, drop = max(step.drops.items(), key=lambda item: item[1])
        weight = f"depends most on {name}" if drop > 0.01 else "depends on no single operation"
        tell(f"{step.node}: {step.choice} ({percent(step.probability)}) {weight}")
    for line in advice(found, explained=True):
        tell(line)
    tell(f"drew {path}")
