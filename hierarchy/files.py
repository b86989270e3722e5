"""Files that are written whole or not at all, and folders that one command at a time writes to."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import HierError


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yields a new file beside `path`, with its suffix; it takes the place of `path` when the block ends well.

    Until then, and after an error, a kill or a full disk, `path` is what it was before. The folder is made if need be.

    >>> with whole(Path("out") / "table.csv") as file:  # doctest: +SKIP
    ...     file.write_text("a,b")
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(path.suffix, f".{path.stem[:40]}.", path.parent)
    os.close(handle)
    unfinished = Path(name)
    try:
        yield unfinished
        _sync(unfinished)
        unfinished.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask())
        os.replace(unfinished, path)
        _sync(path.parent)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def only_one(folder: Path, what: str) -> Iterator[None]:
    """Hold `folder` for this process. HierError when another one holds it; `what` says what that would be doing.

    A process that ends lets go of it, however it ends.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise HierError(f"another {what} is writing to {folder}: wait for it to end") from error
    try:
        yield
    finally:
        lock.release()


def _sync(path: Path) -> None:
    """Have the disk hold what was written; folders cannot be synced everywhere."""
    flags = os.O_RDONLY if path.is_dir() else os.O_RDWR
    with suppress(PermissionError if path.is_dir() else ()):
        handle = os.open(path, flags)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
