"""Files that the user names for output: never an input, never a file of another kind.

They are written by `hierarchy.files.output`: whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ..hierarchy import HierError
from .reading.files import split_inside

PAGE, JPEG = (b"<!doctype html", b"<html"), (b"\xff\xd8",)
BEGINNINGS = {  # of files of a kind, after blanks, in lower case
    ".png": (b"\x89png",), ".svg": (b"<svg", b"<?xml"), ".pdf": (b"%pdf",), ".npz": (b"pk",),
    ".jpg": JPEG, ".jpeg": JPEG, ".html": PAGE, ".htm": PAGE,
}  # fmt: skip
Identity = tuple[int, int]  # device and inode: the same for every name of a file


def identity(file: Path | str) -> Identity | None:
    """What two names of one file have in common, links included; None where there is no file."""
    try:
        found = split_inside(str(file))[0].stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


class Inputs:
    """The files that a command reads. `check` rejects an output that is one of them."""

    def __init__(self, files: Iterable[Path | str | None]) -> None:
        self._known = {found for file in files if file is not None if (found := identity(file)) is not None}

    def check(self, path: Path, option: str, kind: str | None = None) -> None:
        """HierError for an output that is an input, or that would replace a file of another kind.

        The `kind` is a suffix, that of `path` if None.
        """
        if not path.exists():
            return
        if identity(path) in self._known:
            raise HierError(f"{option} {path} is an input of this command: give another name")
        if path.is_dir():
            raise HierError(f"{option} {path} is a folder: give the name of a file")
        suffix = kind or path.suffix.lower()
        if suffix in BEGINNINGS and path.is_file():
            with path.open("rb") as file:
                beginning = file.read(512).removeprefix(b"\xef\xbb\xbf").lstrip().lower()
            if beginning and not beginning.startswith(BEGINNINGS[suffix]):
                raise HierError(f"{option} {path} exists and is not {suffix[1:].upper()}: give another name")


def check_outputs(
    outputs: Mapping[str, Path | None], inputs: Iterable[Path | str | None], kinds: Mapping[str, str] = {}
) -> None:
    """HierError for an output, by option, that is an input, another output, or an existing file of another kind.

    The kind is the suffix in `kinds`, or that of the output's name.
    Called before anything is written. Of folders among `inputs` the files are not looked at: see `kept_apart`.
    """
    known, seen = Inputs(inputs), dict[Path, str]()
    for option, path in outputs.items():
        if path is not None:
            known.check(path, option, kinds.get(option))
            other = seen.setdefault(path.resolve(), option)
            if other != option:
                raise HierError(f"{other} and {option} are the same file {path}: give two names")


def kept_apart(names: Iterable[str], outputs: Mapping[str, Path | None]) -> Iterator[str]:
    """The `names` of inputs as they come; HierError at the first that is also an output."""
    known = {identity(path): option for option, path in outputs.items() if path is not None and path.is_file()}
    for name in names:
        if known and (option := known.get(identity(name))) is not None:
            raise HierError(f"{option} {name} is an input of this command: give another name")
        yield name
