"""Files that a command keeps for the next one, in the folder `work`: with a digest, by which damage is found.

What is damaged, cut off or foreign is told in one warning and made again; nothing of it is believed.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .files import sweep, whole

SIZE = 32  # bytes of a digest before binary content
SEAL = re.compile(r"(.*) #([0-9a-f]{16})\n?", re.DOTALL)  # after text, so that it stays readable
logger = logging.getLogger("hier")


@contextmanager
def renewed(path: Path) -> Iterator[Path]:
    """`whole`, for a file of ours: what stands in its place and is no file is moved aside."""
    make_room(path)
    with whole(path) as file:
        yield file


def make_room(path: Path) -> None:
    """Move aside a folder that stands where a file of ours belongs."""
    if path.is_dir():
        aside = next(to for k in range(1, 10**6) if not (to := path.with_name(f"{path.name}.broken-{k}")).exists())
        path.rename(aside)
        logger.warning("%s is a folder where a file belongs: it is %s now", path, aside)


def keep(path: Path, content: bytes) -> None:
    """Write `content` with its digest."""
    with renewed(path) as file, file.open("wb") as out:
        out.write(hashlib.sha256(content).digest())
        out.write(content)


def kept(path: Path, lost: str) -> bytes | None:
    """What was kept; None where there is nothing or, with a warning that says what is `lost`, anything else."""
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        logger.warning("%s cannot be read (%s): %s", path, error.strerror or error, lost)
        return None
    if hashlib.sha256(memoryview(found)[SIZE:]).digest() == found[:SIZE]:
        return found[SIZE:]
    logger.warning("%s is damaged: %s", path, lost)
    return None


def sealed(text: str) -> str:
    """Text with a digest after it."""
    return f"{text} #{_seal(text)}"


def unsealed(text: str) -> str | None:
    """The text, if it is the one that was sealed."""
    found = SEAL.fullmatch(text)
    return found[1] if found and found[2] == _seal(found[1]) else None


def keep_text(path: Path, text: str) -> None:
    """Write a text, sealed. What a kill left of an earlier attempt is removed."""
    sweep(path.parent, path)
    with renewed(path) as file:
        file.write_text(f"{sealed(text)}\n", encoding="utf-8")


def kept_text(path: Path, lost: str) -> str | None:
    """What was kept; None where there is nothing or, with a warning that says what is `lost`, anything else."""
    try:
        found = unsealed(path.read_text(encoding="utf-8"))
        reason = "is damaged"
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        found, reason = None, f"cannot be read ({getattr(error, 'strerror', None) or 'no text'})"
    if found is None:
        logger.warning("%s %s: %s", path, reason, lost)
    return found


def _seal(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
