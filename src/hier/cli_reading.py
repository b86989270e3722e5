"""Options that say how files are to be read."""

from __future__ import annotations

from typing import Annotated

import typer

Page = Annotated[int | None, typer.Option(help="Page of a TIFF or stack, from 1; the first if left out.")]
RawText = Annotated[
    str | None, typer.Option("--raw", help="What .raw and .bin hold: WIDTHxHEIGHT:TYPE, as in 512x512:uint16.")
]
Channel = Annotated[str | None, typer.Option(help="Channel of an AFM file; the height if left out.")]
PixelSizeText = Annotated[
    str | None, typer.Option("--pixel-size", help="Length of a pixel, 0.02nm say, before what files tell.")
]
