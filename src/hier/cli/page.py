"""`hier app`: a page for those who do not type."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import Device, Models, device_named

EPILOG = "Examples:  hier app  |  hier app --port 8001 --no-browser"


def page(
    host: Annotated[str, typer.Option(help="Address to listen at; others reach it only if it is not loopback.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at; 0 for any free one.")] = 8000,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True,
    model: Models = None,
    device: Device = "auto",
) -> None:
    """Open a page: drop an image, see its group, and change what is known about it. Nothing leaves this machine."""
    from ..pipelines.loading import load
    from ..pipelines.page.server import listening, serve
    from ..pipelines.stopping import Stopped

    with listening(host, port) as listener:
        classifier = load(model or None, device_named(device)).classifier
        try:
            serve(classifier, listener, host, browser)
        except Stopped:
            raise
        except KeyboardInterrupt:
            typer.echo("stopped", err=True)
