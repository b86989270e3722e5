"""The images of each visitor, in a folder of their own, for a while. What one has, no other can name.

A visitor is known by a random token, which the browser keeps, an image by another. Nothing of a file's name becomes a
path but a known suffix.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ...hierarchy import HierError
from ...hierarchy.names import on_screen
from ..reading.files import SUFFIXES

UPLOAD = 2**26  # bytes of a file
IMAGES, BYTES = 24, 2**28  # of one visitor
VISITORS, IDLE = 64, 3600.0  # at a time, and s after which one is forgotten
LONGEST = 80  # characters of a name that are kept


class FullError(HierError):
    """More than a visitor, or all of them, may keep."""


@dataclass(frozen=True)
class Kept:
    """An image of a visitor: its file, its `name` as shown, and its size in px; `picture` is what the page shows."""

    id: str
    name: str
    path: Path
    size: int
    width: int = 0
    height: int = 0

    @property
    def picture(self) -> Path:
        """The file of the picture."""
        return self.path.with_name(f"{self.id}.shown")


@dataclass
class Visitor:
    """One visitor's images, by their ids, in the order in which they came."""

    folder: Path
    images: dict[str, Kept] = field(default_factory=dict)
    seen: float = 0.0

    def place(self, name: str) -> Kept:
        """A place for a file of that name. Raises FullError."""
        used = sum(kept.size for kept in self.images.values())
        if len(self.images) >= IMAGES or used >= BYTES:
            raise FullError(f"{len(self.images)} images are here already: remove some first")
        self.folder.mkdir(mode=0o700, exist_ok=True)
        shown = on_screen(name.replace("\\", "/").rpartition("/")[2])[-LONGEST:] or "image"
        suffix = Path(shown).suffix.lower()
        made = secrets.token_urlsafe(16)
        return Kept(made, shown, self.folder / f"{made}{suffix if suffix in SUFFIXES else ''}", 0)

    def remove(self, kept: Kept) -> None:
        """Forget an image, and remove its files."""
        self.images.pop(kept.id, None)
        for file in (kept.path, kept.picture):
            file.unlink(missing_ok=True)


class Visitors:
    """Visitors by their tokens, in a `folder`; `clock` counts seconds."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder, self.clock = folder, clock
        self._known: dict[str, Visitor] = {}

    def find(self, token: str | None) -> Visitor | None:
        """The visitor of a token; None for a token that was not given out, or too long ago."""
        now = self.clock()
        for old in [t for t, v in self._known.items() if now - v.seen > IDLE]:
            self._forget(old)
        found = self._known.get(token or "")
        if found is not None:
            found.seen = now
        return found

    def welcome(self) -> tuple[str, Visitor]:
        """A new visitor and the token. Of too many the one that was idle longest is forgotten."""
        if len(self._known) >= VISITORS:
            self._forget(min(self._known, key=lambda t: self._known[t].seen))
        token = secrets.token_urlsafe(32)
        made = Visitor(self.folder / secrets.token_hex(16), seen=self.clock())
        self._known[token] = made
        return token, made

    def _forget(self, token: str) -> None:
        shutil.rmtree(self._known.pop(token).folder, ignore_errors=True)
