"""`hier calibrate`: calibrated probabilities, and routers fitted to a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..screen.streams import tell
from .options import ROOT, Device, Force, Json, Model, Photos, Quiet, Verbose, device_named

if TYPE_CHECKING:
    from ..pipelines.training.calibrate import Calibrated

EPILOG = "Example:  hier calibrate --model mlruns/models/wallpaper --photos holiday/"


def calibrate(
    model: Model = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the calibrated model. Default: overwrite the one given.")
    ] = None,
    force: Force = False,
    count: Annotated[int, typer.Option(min=34, help="Patterns in each of three splits.")] = 1020,
    seed: Annotated[
        int, typer.Option(min=0, max=10**9, help="Random seed (disjoint from training and evaluation).")
    ] = 0,
    source: Annotated[
        list[str] | None,
        typer.Option(help="photos, atoms, noise or outlines; may be repeated. Default: what the model was trained on."),
    ] = None,
    photos: Photos = None,
    device: Device = "auto",
    as_json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Fit a temperature at every node and after routing, the mix with the flat head, and the stack.

    Half of the patterns are corrupted as in training. The choices of nodes do not change. A reliability diagram is
    written beside the model, and MLflow records figures and temperatures in mlruns/.
    """
    from ..datasets import SOURCES
    from ..hierarchy import UnknownNameError
    from ..pipelines.tracking.runs import store
    from ..pipelines.training.calibrate import Wanted, calibrate_file
    from ..screen.console import Screen
    from ..screen.progress import training_progress

    for name in source or ():
        if name not in SOURCES:
            raise UnknownNameError("source", name, SOURCES)
    device = device_named(device)
    wanted = Wanted(count, seed, photos, tuple(source or ()))
    with training_progress(Screen(stderr=True)) as reporter:
        made, card, picture = calibrate_file(model, out, wanted, ROOT, store(ROOT), device, reporter.stage, force)
    if as_json:
        typer.echo(json.dumps(made.as_dict() | {"card": str(card), "diagram": str(picture)}, indent=2))
    else:
        _show(made, card, picture)


def _show(made: Calibrated, card: Path, picture: Path) -> None:
    from ..screen.comparisons import calibration_tables
    from ..screen.console import Screen

    for table in calibration_tables(made):
        Screen().print(table)
    tell(f"calibrated: {card}")
    tell(f"reliability: {picture}")
