"""The command line. Nothing heavy is imported before a command is known: `hier --help` must answer at once."""

from __future__ import annotations

import atexit
import gc
import signal
import sys
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from .. import __version__
from ..hierarchy import HierError
from ..pipelines.stopping import Stop, Stopped, stoppable
from . import benchmark as cli_benchmark
from . import calibrate as cli_calibrate
from . import diagram as cli_diagram
from . import evaluate as cli_evaluate
from . import explain as cli_explain
from . import generate as cli_generate
from . import map as cli_map
from . import predict as cli_predict
from . import registry as cli_registry
from . import train as cli_train
from .options import ROOT, Json, fail

EPILOG = "Examples:  hier predict image.png  |  hier train --level rotation  |  hier ui  |  hier tree"
app = typer.Typer(
    no_args_is_help=True, add_completion=False, rich_markup_mode="rich", epilog=EPILOG,
    help="Recognise the wallpaper group of a periodic image, step by step down the crystallographer's tree.",
)  # fmt: skip


def main() -> None:
    """Entry point: errors of the user become one line and exit code 2.

    Ctrl-C, SIGTERM and SIGHUP end a command with one line and exit code 130, 143 and 129.
    """
    _tolerate_any_name()
    atexit.register(gc.freeze)  # to look for cycles in all of torch and MLflow once more takes seconds
    with stoppable() as stop:
        try:
            app()
        except HierError as error:
            _stopped(stop)
            fail(str(error))
            sys.exit(2)
        except SystemExit as end:
            if end.code:  # else it was done before the stop reached it
                if stop.number is None and end.code == 128 + signal.SIGINT:  # typer makes that of it
                    stop.number = signal.SIGINT
                _stopped(stop)
            raise
        except (KeyboardInterrupt, OSError):
            _stopped(stop)
            raise


def _stopped(stop: Stop) -> None:
    """End a command that was stopped, whatever its unwinding made of that."""
    if stop.code is not None:
        with suppress(OSError):  # nobody may be there to read it
            fail("interrupted; what is finished is kept, and the same command again makes the rest")
        sys.exit(stop.code)


def _tolerate_any_name() -> None:
    """Print what the output's encoding lacks as escapes, and take names from standard input byte by byte.

    A file's name may hold bytes that are not UTF-8, and a redirected output may be ASCII or cp1252.
    """
    for stream, errors in ((sys.stdin, "surrogateescape"), (sys.stdout, "backslashreplace")):
        if isinstance(stream, TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors=errors)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"hier {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None: ...


app.command(epilog=cli_generate.EPILOG)(cli_generate.generate)
app.command(epilog=cli_predict.EPILOG)(cli_predict.predict)
app.command("map", epilog=cli_map.EPILOG)(cli_map.map_)
app.command(epilog=cli_train.EPILOG)(cli_train.train)
app.command(epilog=cli_evaluate.EPILOG)(cli_evaluate.evaluate)
app.command(epilog=cli_calibrate.EPILOG)(cli_calibrate.calibrate)
app.command(epilog=cli_benchmark.EPILOG)(cli_benchmark.benchmark)
app.command(epilog=cli_explain.EPILOG)(cli_explain.explain)
app.command(epilog=cli_registry.COMPARE)(cli_registry.compare)
app.command(epilog=cli_registry.PROMOTE)(cli_registry.promote)
app.command(epilog=cli_registry.ASSEMBLE)(cli_registry.assemble)


@app.command()
def tree(
    name: Annotated[str, typer.Argument(help="wallpaper, paper, or a YAML file.")] = "wallpaper",
    diagram: Annotated[str | None, typer.Option(help="Draw the symmetry elements of this group instead.")] = None,
    out: Annotated[Path | None, typer.Option(help="The diagram's file, .svg or .png; GROUP.svg if left out.")] = None,
    as_json: Json = False,
) -> None:
    """Print a hierarchy: its levels, nodes, choices and labels. Or draw a group's cell with --diagram."""
    if diagram is not None:
        return cli_diagram.diagram(diagram, out, as_json)
    from rich.console import Console

    from ..hierarchy import load_tree, rich_tree

    loaded = load_tree(name)
    if as_json:
        typer.echo(loaded.to_spec().model_dump_json(indent=2))
        return
    Console().print(rich_tree(loaded))


@app.command()
def ui(
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at.")] = 5000,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True,
) -> None:
    """Open MLflow's page on the trainings of this folder (or of MLFLOW_TRACKING_URI)."""
    from ..pipelines.tracking.runs import store
    from ..pipelines.tracking.ui import serve_ui

    try:
        serve_ui(store(ROOT), host, port, browser)
    except Stopped:
        raise
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)
