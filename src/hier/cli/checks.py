"""Arguments that are checked before torch is imported, which takes seconds: a typo is told at once."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from glob import has_magic
from pathlib import Path

from ..hierarchy import HierError, UnknownNameError, group
from ..models.saved import REGISTRY, find_card
from ..pipelines.drawing.lettering import SUFFIXES

DEVICES = ("auto", "cpu", "cuda", "cuda:1", "mps", "xpu")
NO_DEVICES = ("gpu", "nvidia", "rocm", "amd")  # what people try; torch calls them cuda
NUMBERS = {"basis": (4, "ax, ay, bx, by"), "origin": (2, "x, y")}


def check_asked(basis: str | None, group_name: str | None, origin: str | None) -> None:
    """HierError for a basis, group or origin that cannot be one."""
    for name, text in (("basis", basis), ("origin", origin)):
        count, which = NUMBERS[name]
        if text is not None and not _are_numbers(text, count):
            raise HierError(f"--{name} {text}: give {count} numbers, {which}, in px of the image")
    if group_name is not None:
        try:
            group(group_name)
        except HierError as error:
            raise HierError(f"--group {group_name}: {error}") from error


def check_there(images: Sequence[str]) -> None:
    """HierError for a single image that is not there: where there are several, the others are answered all the same."""
    from ..pipelines.reading.files import split_inside

    if len(images) == 1 and images[0] != "-" and not has_magic(images[0]) and "://" not in images[0]:
        try:
            there = split_inside(images[0])[0].exists()
        except (OSError, ValueError):  # what reads it says more
            return
        if not there:
            raise HierError(f"{images[0]}: no such file")


def check_device(name: str) -> str:
    """The name; HierError for one that torch has for no device."""
    if name.lower() in NO_DEVICES:
        raise HierError(f"unknown device {name!r}: torch calls cards of NVIDIA and AMD cuda; auto is the fastest")
    if not re.fullmatch(r"[a-z_]+(:\d+)?", name):
        raise UnknownNameError("device", name, DEVICES)
    return name


def check_model(given: str | None) -> str | None:
    """The folder, card or name; BundleError for a file or folder that is not there, or a folder without a model."""
    if given is not None and not given.startswith(REGISTRY):
        find_card(Path(given))
    return given


def check_models(given: Sequence[str] | None) -> list[str]:
    """Several, as `check_model`. A list also for None: older versions of typer need one."""
    for one in given or ():
        check_model(one)
    return list(given or ())


def check_suffix(option: str, path: str | Path | None) -> None:
    """UnknownNameError for a picture of another kind than `SUFFIXES`; a name without suffix is a folder."""
    suffix = Path(path).suffix.lower() if path is not None else ""
    if suffix and suffix not in SUFFIXES and not Path(str(path)).is_dir():
        raise UnknownNameError(f"kind of {option}", suffix, SUFFIXES)


def _are_numbers(text: str, count: int) -> bool:
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        return False
    return len(found) == count and all(math.isfinite(x) for x in found)
