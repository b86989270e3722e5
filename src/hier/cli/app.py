"""The command line. Nothing heavy is imported before a command is known: `hier --help` must answer at once."""

from __future__ import annotations

import atexit
import gc
import json
import signal
import sys
from contextlib import suppress
from errno import EACCES, EDQUOT, EFBIG, EIO, ELOOP, ENAMETOOLONG, ENOSPC, EPERM, EROFS
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from .. import __version__
from ..hierarchy import HierError
from ..hierarchy.names import on_screen
from ..pipelines.stopping import Stop, Stopped, stoppable
from ..screen.streams import fail, prepare_streams, set_level
from . import benchmark as cli_benchmark
from . import calibrate as cli_calibrate
from . import check as cli_check
from . import config as cli_config
from . import diagram as cli_diagram
from . import evaluate as cli_evaluate
from . import explain as cli_explain
from . import export as cli_export
from . import generate as cli_generate
from . import map as cli_map
from . import page as cli_page
from . import predict as cli_predict
from . import registry as cli_registry
from . import score as cli_score
from . import train as cli_train
from .options import ROOT, Force, Json, Quiet, Verbose
from .plain import Plain, PlainGroup

EPILOG = "Examples:  hier predict image.png  |  hier train --level rotation  |  hier ui  |  hier tree"
app = typer.Typer(
    cls=PlainGroup, no_args_is_help=True, rich_markup_mode="rich", epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Recognise the wallpaper group of a periodic image, step by step down the crystallographer's tree.",
)  # fmt: skip

OF_THE_DISK = (ENOSPC, EFBIG, EDQUOT, EROFS, EACCES, EPERM, EIO, ELOOP, ENAMETOOLONG)  # no bugs of ours
MISUSED, INTERRUPTED = 2, 128 + signal.SIGINT  # the latter is typer's exit code for Ctrl-C too


def main() -> None:
    """Entry point: errors of the user become one line and exit code 2.

    Ctrl-C, SIGTERM and SIGHUP end a command with one line and exit code 130, 143 and 129.
    """
    prepare_streams()
    atexit.register(gc.freeze)  # to look for cycles in all of torch and MLflow once more takes seconds
    with stoppable() as stop:
        code = _code(stop)
        if stop.number is None and code == INTERRUPTED:
            stop.number = signal.SIGINT
        if code:  # else it was done before the stop reached it
            _stopped(stop)
        sys.exit(code)


def _code(stop: Stop) -> int:
    """Run the command; its exit code. What its unwinding raises once it was stopped is not shown."""
    try:
        return app(standalone_mode=False) or 0
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except HierError as error:
        if stop.number is None:
            fail(str(error))
        return MISUSED
    except OSError as error:
        if stop.number is None:
            if error.errno not in OF_THE_DISK:
                raise
            what = error.filename or "a file"
            fail(f"cannot use {what}: {error.strerror}: mend that, and run the same command again")
        return MISUSED
    except Exception as error:
        return MISUSED if stop.number is not None else _misused(error)


def _stopped(stop: Stop) -> None:
    """End a command that was stopped, whatever its unwinding made of that."""
    if stop.code is not None:
        with suppress(OSError):  # nobody may be there to read it
            fail("interrupted; what is finished is kept, and the same command again makes the rest")
        sys.exit(stop.code)


def _misused(error: Exception) -> int:
    """Show an error of typer about the command's arguments; raises any other."""
    if not isinstance(code := getattr(error, "exit_code", None), int):
        if "torchvision" not in str(error):
            raise error
        fail(_apart(error))
        return MISUSED
    from typer.rich_utils import rich_format_error

    for name in ("message", "option_name"):
        if isinstance(text := getattr(error, name, None), str):
            setattr(error, name, on_screen(text))
    rich_format_error(error)  # type: ignore[arg-type]
    return code


def _apart(error: Exception) -> str:
    """What to do where torch and torchvision do not belong together, or the second is not there."""
    found = []
    for name in ("torch", "torchvision"):
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            found.append(f"no {name}")
    why = (str(error) or type(error).__name__).splitlines()[0]
    return (
        f"{' and '.join(found)} do not work together ({why}): install both from the same place, in one command, as "
        "PyTorch's instructions for your system say"
    )


def _version(value: bool) -> None:
    if value:
        typer.echo(f"hier {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    if not (verbose or quiet):
        set_level(0)


app.command(cls=Plain, epilog=cli_generate.EPILOG)(cli_generate.generate)
app.command(cls=Plain, epilog=cli_predict.EPILOG)(cli_predict.predict)
app.command("map", cls=Plain, epilog=cli_map.EPILOG)(cli_map.map_)
app.command("app", cls=Plain, epilog=cli_page.EPILOG)(cli_page.page)
app.command(cls=Plain, epilog=cli_train.EPILOG)(cli_train.train)
app.command(cls=Plain, epilog=cli_config.EPILOG)(cli_config.config)
app.command(cls=Plain, epilog=cli_evaluate.EPILOG)(cli_evaluate.evaluate)
app.command(cls=Plain, epilog=cli_calibrate.EPILOG)(cli_calibrate.calibrate)
app.command(cls=Plain, epilog=cli_benchmark.EPILOG)(cli_benchmark.benchmark)
app.command(cls=Plain, epilog=cli_explain.EPILOG)(cli_explain.explain)
app.command(cls=Plain, epilog=cli_score.EPILOG)(cli_score.score)
app.command(cls=Plain, epilog=cli_export.EPILOG)(cli_export.export)
app.command(cls=Plain, epilog=cli_registry.COMPARE)(cli_registry.compare)
app.command(cls=Plain, epilog=cli_registry.PROMOTE)(cli_registry.promote)
app.command(cls=Plain, epilog=cli_registry.ASSEMBLE)(cli_registry.assemble)
app.command(cls=Plain)(cli_check.check)


@app.command(cls=Plain)
def tree(
    name: Annotated[str, typer.Argument(help="wallpaper, paper, or a YAML file.")] = "wallpaper",
    diagram: Annotated[str | None, typer.Option(help="Draw the symmetry elements of this group instead.")] = None,
    out: Annotated[Path | None, typer.Option(help="The diagram's file, .svg or .png; GROUP.svg if left out.")] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Print a hierarchy: its levels, nodes, choices and labels. Or draw a group's cell with --diagram."""
    if diagram is not None:
        return cli_diagram.diagram(diagram, out, as_json, force)
    from ..hierarchy import load_tree, rich_tree
    from ..screen.console import Screen

    loaded = load_tree(name)
    if as_json:
        typer.echo(json.dumps(loaded.to_spec().model_dump(), indent=2))
        return
    Screen().print(rich_tree(loaded))


@app.command(cls=Plain)
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
