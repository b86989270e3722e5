"""What the commands share: options of one meaning, the choice of a device, the way an error is told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..hierarchy import HierError

ROOT = Path("mlruns")
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, mps, or auto for the fastest there is.")]
Photos = Annotated[Path | None, typer.Option(help="Folder of photographs; scikit-image's and textures if left out.")]
Model = Annotated[
    str | None, typer.Option(help="Folder or card, or models:/NAME@ALIAS in MLflow; the bundled model if left out.")
]
Models = Annotated[
    list[str] | None, typer.Option("--model", help="As many models as wanted of one tree: their answers are averaged.")
]
RouterName = Annotated[
    str,
    typer.Option(
        help="soft (all nodes weighed), hard (likeliest choice at each node), beam (likeliest paths), climb (as far as "
        "--min-confidence is reached), bayes (least costly error), flat (no tree), blend (soft and flat), or stack "
        "(regression on all nodes); the last two are fitted by `hier calibrate`."
    ),
]
Page = Annotated[int | None, typer.Option(help="Page of a TIFF or stack, from 1; the first if left out.")]

RawText = Annotated[
    str | None, typer.Option("--raw", help="What .raw and .bin hold: WIDTHxHEIGHT:TYPE, as in 512x512:uint16.")
]

Channel = Annotated[str | None, typer.Option(help="Channel of an AFM file; the height if left out.")]

PixelSizeText = Annotated[
    str | None, typer.Option("--pixel-size", help="Length of a pixel, 0.02nm say, before what files tell.")
]


def fail(message: str) -> None:
    """Tell an error in one line on standard error."""
    typer.secho(f"hier: {message}", fg="red", err=True)


def device_named(name: str) -> str:
    """The torch device of that name, `auto` for the fastest; HierError when it cannot be used."""
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


def router_named(name: str) -> Any:
    """`name` if there is such a router; UnknownNameError with near names otherwise."""
    from ..hierarchy import UnknownNameError
    from ..models.routing.router import ROUTERS

    if name not in ROUTERS:
        raise UnknownNameError("router", name, ROUTERS)
    return name
