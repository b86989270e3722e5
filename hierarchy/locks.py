"""One command at a time: locks that the system releases with the process that holds them, however it ends."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where no open file can be removed: `filelock` knows what to do there
    fcntl = None  # type: ignore[assignment]

from .errors import HierError


@contextmanager
def only_one(folder: Path, what: str, name: str = ".lock") -> Iterator[None]:
    """Lock `folder`, made if need be, for this process. Made in vain, and still empty, it is removed.

    HierError when another one holds it, `what` names what that one is doing; or when nothing can be written there.
    """
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HierError(f"cannot write {folder}: {error.strerror or error}") from error
    try:
        with _wanted(folder / name, what, folder):
            yield
    finally:
        with suppress(OSError):
            for path in new:
                path.rmdir()


@contextmanager
def only_one_writes(file: Path | None, what: str) -> Iterator[None]:
    """The same for a single file, by a lock beside it; nothing to lock where it is None, a device or a pipe."""
    if file is None or (file.exists() and not file.is_file()):
        yield
        return
    path = file.resolve()
    with _wanted(path.with_name(f".{path.name[:40]}.lock"), what, file):
        yield


@contextmanager
def _wanted(lock: Path, what: str, output: Path) -> Iterator[None]:
    with ExitStack() as held:
        try:
            mine = held.enter_context(locked(lock))
        except OSError as error:
            raise HierError(f"cannot write {output}: {error.strerror or error}") from error
        if not mine:
            raise HierError(f"another {what} is writing to {output}: wait for it to end")
        yield


@contextmanager
def locked(path: Path, wait: bool = False) -> Iterator[bool]:
    """Whether this process got the lock `path`; it has it until the block ends, and nothing is left of it then.

    With `wait` it gets it in any case, as soon as no other process has it.
    """
    if fcntl is None:
        from filelock import FileLock, Timeout

        try:
            with FileLock(path, timeout=-1 if wait else 0):
                yield True
        except Timeout:
            yield False
        return
    handle = _handle(path, wait)
    try:
        yield handle is not None
    finally:
        if handle is not None:
            with suppress(FileNotFoundError):
                path.unlink()  # while it is locked: who opened it meanwhile sees that it is gone
            os.close(handle)


def _handle(path: Path, wait: bool) -> int | None:
    """The lock file, open and locked; None where another process has it, and nobody waits for it."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            _take(handle, wait)
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                return handle
        except BlockingIOError:
            os.close(handle)
            return None
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _take(handle: int, wait: bool) -> None:
    """BlockingIOError where another has the lock and none waits. A file system without locks refuses nobody."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise


def claim(path: Path) -> int | None:
    """Make `path`, a new file, and hold it as one in use until the handle is closed; None where that cannot be told."""
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
    if fcntl is None:
        os.close(handle)
        return None
    with suppress(OSError):  # a file system without locks
        fcntl.flock(handle, fcntl.LOCK_SH)
    return handle


def in_use(path: Path) -> bool:
    """Whether a living process holds a file by `claim`; where that cannot be told, it counts as held."""
    if fcntl is None:
        return True
    try:
        handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False
