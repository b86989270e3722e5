"""`hier predict`: the group of each image, with the path through the tree."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from .cli_common import Device, Json, Model, RouterName, device_named, fail, router_named

EPILOG = "Example:  hier predict micrograph.tif --json"


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

    device, chosen = device_named(device), router_named(router)
    predictor = load(model, device, chosen)
    results = list(predictor.predict_each(images))
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
        fail(f"{failure.file}: {failure.error}")
    if failed:
        raise typer.Exit(2)
