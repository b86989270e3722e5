"""Files that the user names for output: never an input, and never one that hier did not write, but by ``--force``.

They are written by `hierarchy.files.output`: whole or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ..hierarchy import HierError
from .marks import MARKS, is_marked
from .reading.files import split_inside

Identity = tuple[int, int]  # device and inode: the same for every name of a file


def identity(file: Path | str) -> Identity | None:
    """What two names of one file have in common, links included; None where there is no file."""
    try:
        found = split_inside(str(file))[0].stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


class Inputs:
    """The files that a command reads. `check` rejects an output that is one of them, and with `force` only these."""

    def __init__(self, files: Iterable[Path | str | None], force: bool = False) -> None:
        self._force = force
        self._known = {found for file in files if file is not None if (found := identity(file)) is not None}

    def check(self, path: Path, option: str, kind: str | None = None) -> None:
        """HierError for an output that is an input, or that would replace a file which hier did not write.

        The `kind` is a suffix, that of `path` if None. Of others than `MARKS` their writers know their own files.
        """
        try:
            there = path.exists()
        except OSError as error:  # a name that is too long, a folder that must not be looked into
            raise HierError(f"{option} {path} cannot be written: {error.strerror or error}") from error
        if not there:
            return
        if identity(path) in self._known:
            raise HierError(f"{option} {path} is an input of this command: give another name")
        if path.is_dir():
            raise HierError(f"{option} {path} is a folder: give the name of a file")
        suffix = kind or path.suffix.lower()
        if self._force or suffix not in MARKS or not path.is_file() or not path.stat().st_size:
            return
        try:
            ours = is_marked(path, suffix)
        except OSError as error:
            raise HierError(f"{option} {path} cannot be read: {error.strerror or error}") from error
        if not ours:
            raise HierError(
                f"{option} {path} exists and is no {suffix[1:].upper()} that hier wrote: give another name, or "
                "--force to replace it"
            )


def check_outputs(
    outputs: Mapping[str, Path | None], inputs: Iterable[Path | str | None], kinds: Mapping[str, str] = {},
    force: bool = False,
) -> None:  # fmt: skip
    """HierError for an output, by option, that is an input, another output, or a file which hier did not write.

    The kind is the suffix in `kinds`, or that of the output's name. With `force` files of others are replaced.
    Called before anything is written. Of folders among `inputs` the files are not looked at: see `kept_apart`.
    """
    known, seen = Inputs(inputs, force), dict[str, str]()
    for option, path in outputs.items():
        if path is not None:
            known.check(path, option, kinds.get(option))
            other = seen.setdefault(os.path.realpath(path), option)
            if other != option:
                raise HierError(f"{other} and {option} are the same file {path}: give two names")


def kept_apart(names: Iterable[str], outputs: Mapping[str, Path | None]) -> Iterator[str]:
    """The `names` of inputs as they come; HierError at the first that is also an output."""
    known = {identity(path): option for option, path in outputs.items() if path is not None and path.is_file()}
    for name in names:
        if known and (option := known.get(identity(name))) is not None:
            raise HierError(f"{option} {name} is an input of this command: give another name")
        yield name
