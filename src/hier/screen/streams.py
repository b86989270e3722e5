"""Standard output and standard error: whatever is printed there, no name steers the terminal or forges a line of ours,
and what the output's encoding lacks is shown in ASCII.
"""

from __future__ import annotations

import codecs
import logging
import sys
import warnings
from functools import partial
from io import TextIOWrapper

import typer

from ..hierarchy.names import SIGNS, on_screen

ERRORS = "hier.signs"  # the name of `_signs` among Python's handlers of encoding errors


def tell(line: object, err: bool = False) -> None:
    """Print one line."""
    # `file` is named here and below: left to itself, typer takes an output in ASCII for one in UTF-8
    typer.echo(on_screen(line), file=sys.stderr if err else sys.stdout)


def fail(message: str) -> None:
    """Show an error in one line on standard error."""
    typer.secho(f"hier: {on_screen(message)}", fg="red", file=sys.stderr)


def level() -> int:
    """How much is told: logging's WARNING, INFO with ``-v``, ERROR with ``-q``."""
    return logging.getLogger("hier").getEffectiveLevel()


def set_level(value: int) -> None:
    """Tell that much; 0 is as much as always."""
    logging.getLogger("hier").setLevel(value)
    if logging.lastResort is not None:
        logging.lastResort.setLevel(value or logging.WARNING)


def prepare_streams() -> None:
    """Let standard output and error show anything, and standard input name any file; logs and warnings are one line.

    A file's name may hold bytes that are not UTF-8, and a redirected output may be ASCII or cp1252.
    """
    codecs.register_error(ERRORS, _signs)
    for stream, errors in ((sys.stdin, "surrogateescape"), (sys.stdout, ERRORS), (sys.stderr, ERRORS)):
        if isinstance(stream, TextIOWrapper) and stream.errors != errors:
            stream.reconfigure(errors=errors)
    logging.lastResort = _Lines(logging.WARNING)
    warnings.formatwarning = _one_line


class _Lines(logging.Handler):
    """Prints what is logged, of an exception its text."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            cause = record.exc_info[1] if record.exc_info else None
            show = fail if record.levelno >= logging.WARNING else partial(tell, err=True)
            show(record.getMessage() + (f": {cause}" if cause else ""))
        except Exception:
            self.handleError(record)  # as all handlers do: what cannot be logged stops nobody


def _one_line(message: Warning | str, *_: object, **__: object) -> str:
    return f"hier: {on_screen(message)}\n"


def _signs(error: UnicodeError) -> tuple[str, int]:
    """What Python calls for characters that an encoding lacks: our signs in ASCII, others as ``\\u96fb``."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(SIGNS.get(c) or c.encode("ascii", "backslashreplace").decode() for c in lacking), error.end
