"""Names of images: files, folders, patterns of names, and lists on standard input."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO
from zlib import crc32

from .files import RAW, SUFFIXES, is_store

STDIN = "-"


def image_names(
    given: Iterable[str], stdin: TextIO, bare: bool = False, skipped: Counter[str] | None = None
) -> Iterator[str]:
    """The images that `given` names, one by one, folders and patterns in order of their names.

    Folders are searched to any depth for files of the suffixes that can be read, with `bare` for bare pixels too, and
    for Zarr stores;
    ``-`` reads one name a line from `stdin`. A name that matches nothing is yielded unchanged, so that it becomes an
    error in its turn. What folders hold besides is counted by suffix in `skipped`, but for hidden files.
    """
    skipped = Counter() if skipped is None else skipped
    suffixes = SUFFIXES | set(RAW) if bare else SUFFIXES
    for name in given:
        if name == STDIN:
            for line in stdin:
                if line.strip():
                    yield from _found(line.rstrip("\r\n"), suffixes, skipped)
        else:
            yield from _found(name, suffixes, skipped)


def in_part(names: Iterable[str], part: tuple[int, int]) -> Iterator[str]:
    """The names that belong to part k of n, (k, n), k from 1: each to one, whatever other names there are."""
    k, n = part
    return (name for name in names if crc32(name.encode("utf-8", "surrogatepass")) % n == k - 1)


def _found(name: str, suffixes: set[str], skipped: Counter[str]) -> Iterator[str]:
    some = False
    for path in _expanded(name):
        if _is_folder(path):
            for file in _in_folder(path, suffixes, skipped):
                some = True
                yield file
        else:
            some = True
            yield path
    if not some:
        yield name


def _expanded(name: str) -> Iterable[str]:
    """What a pattern matches; the name of an existing file stands for itself, even with wildcards in it."""
    try:
        there = not glob.has_magic(name) or os.path.lexists(name)
    except ValueError:  # names that cannot be files
        there = True
    if there:
        return (name,)
    matches = sorted(glob.glob(name, recursive=True))
    return [m for m in matches if not _is_folder(m)] if "**" in name else matches


def _is_folder(name: str) -> bool:
    try:
        return os.path.isdir(name) and not is_store(name)
    except ValueError:
        return False


def _in_folder(folder: str, suffixes: set[str], skipped: Counter[str]) -> Iterator[str]:
    for parent, folders, files in os.walk(folder):
        stores = [folder for folder in folders if is_store(folder)]
        folders[:] = sorted(set(folders) - set(stores))
        for file in sorted([*files, *stores]):
            suffix = Path(file).suffix.lower()
            if suffix in suffixes or file in stores:
                yield str(Path(parent, file))
            elif not file.startswith("."):
                skipped[suffix] += 1
