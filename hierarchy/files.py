"""Files that are written whole or not at all, and folders that one command at a time writes to."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from errno import EACCES
from glob import escape
from pathlib import Path
from secrets import token_hex

from .errors import HierError
from .locks import claim, in_use

UNFINISHED = re.compile(r"\..*\.[0-9a-f]{8}(\.\w+)?")


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yields a new file beside `path`, with its suffix; it replaces `path` when the block succeeds.

    Until then, and after an error, a kill or a full disk, `path` is unchanged. The folder is created if needed.
    If `path` is a link, its target is replaced; a device or a pipe is written to directly.

    >>> with whole(Path("out") / "table.csv") as file:  # doctest: +SKIP
    ...     file.write_text("a,b")
    """
    if path.exists() and not (path.is_file() or path.is_dir()):  # /dev/stdout, a pipe: nothing to replace
        yield path
        return
    path = Path(os.path.realpath(path))  # a link stays one; unlike `resolve`, this takes links in a circle
    if path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(EACCES, os.strerror(EACCES), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.stem[:40]}.{token_hex(4)}{path.suffix}")
    held = None
    try:
        held = claim(unfinished)
        yield unfinished
        _sync(unfinished)
        if path.exists():
            unfinished.chmod(path.stat().st_mode & 0o777)
        os.replace(unfinished, path)
        _sync(path.parent)
    except OSError as error:
        if error.filename in (None, unfinished, str(unfinished)):  # a name that nobody knows
            error.filename = str(path)
        raise
    finally:
        unfinished.unlink(missing_ok=True)
        if held is not None:
            os.close(held)


@contextmanager
def output(path: Path) -> Iterator[Path]:
    """`whole`, with HierError for what the disk cannot write. What a kill left of an earlier attempt is removed."""
    try:
        there = Path(os.path.realpath(path))
        sweep(there.parent, there)
        with whole(path) as file:
            yield file
    except OSError as error:
        raise HierError(f"cannot write {path}: {error.strerror or error}") from error


def sweep(folder: Path, of: Path | None = None) -> None:
    """Remove what `whole` began in `folder` and a kill left unfinished: of any file, or of one."""
    pattern = ".*" if of is None else f".{escape(of.stem[:40])}.*{escape(of.suffix)}"
    for file in folder.glob(pattern):
        if UNFINISHED.fullmatch(file.name) and not in_use(file):
            with suppress(OSError):
                file.unlink()


def _sync(path: Path) -> None:
    """Flush what was written to disk; not every system can sync a folder."""
    flags = os.O_RDONLY if path.is_dir() else os.O_RDWR
    with suppress(PermissionError) if path.is_dir() else nullcontext():
        handle = os.open(path, flags)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
