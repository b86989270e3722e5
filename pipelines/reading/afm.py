"""Scanning probe images (spm, ibw, jpk, stp, top) through AFMReader, the extra ``afm``."""

from __future__ import annotations

import importlib
import re
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import ImageError, check_size, missing_reader
from .picture import Picture, Reading, page_index
from .pixel_size import pixel_size_from

SUFFIXES = {
    ".spm": "spm",
    ".ibw": "ibw",
    ".jpk": "jpk",
    ".jpk-qi-image": "jpk",
    ".stp": "stp",
    ".top": "top",
}  # modules
ALONE = (".stp", ".top")  # of a single channel
HEAD = 1 << 20  # bytes: more than any header of an .spm
HEIGHTS = {
    ".spm": ("Height", "Height Sensor", "ZSensor"),
    ".ibw": ("HeightTracee", "HeightTrace", "HeightRetrace", "Height"),
    ".jpk": ("height_trace", "height_retrace", "measuredHeight_trace", "measuredHeight_retrace"),
    ".jpk-qi-image": ("measuredHeight_trace", "height_trace", "measuredHeight_retrace", "height_retrace"),
}  # names that the makers' programs give to the topography


def read_afm(path: Path, reading: Reading, largest: int | None) -> Picture:
    """One channel: the one asked for, or the height. Raises ImageError, which names the channels there are."""
    suffix = path.suffix.lower()
    page_index(reading.page, 1)
    if suffix == ".spm" and b"*File list end" not in _head(path):  # pySPM would look for it forever
        raise ImageError("is not a Bruker file, or is damaged: its header has no end")
    if suffix == ".spm":
        _check_version()
    try:
        module = importlib.import_module(f"AFMReader.{SUFFIXES[suffix]}")
        from loguru import logger
    except ImportError as error:
        raise missing_reader(path.suffix, "AFMReader") from error
    logger.disable("AFMReader")  # it logs every step on standard error
    known = ""
    for channel in (reading.channel,) if reading.channel else HEIGHTS.get(suffix, ("",)):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                array, nm = _load(module, path, channel)
        except ValueError as error:
            if "channel list" not in str(error):
                raise
            known = str(error).partition("channel list:")[2].strip()
            continue
        except UnboundLocalError as error:  # AFMReader's own, where a wave cannot be read
            raise ImageError(f"cannot be read, the file may be damaged: no {suffix} in it") from error
        check_size(*array.shape[:2], largest=largest)
        return Picture(array, pixel_size_from(nm, "nm"))
    wanted = repr(reading.channel) if reading.channel else "of the height"
    raise ImageError(f"has no channel {wanted}; choose one with --channel: {known[:200]}")


def _check_version() -> None:
    """ImageError for a pySPM that exchanges lines and columns; Python 3.13 finds no later one."""
    try:
        found = version("pySPM")
    except PackageNotFoundError:
        return  # `missing_reader` says it
    if tuple(int(part) for part in re.findall(r"\d+", found)[:2]) < (0, 6):
        raise ImageError(
            f"cannot be read with pySPM {found}, which exchanges lines and columns: use pySPM 0.6 or later, "
            "for which Python 3.11 or 3.12 is needed"
        )


def _load(module: Any, path: Path, channel: str) -> tuple[NDArray[Any], float]:
    suffix = path.suffix.lower()
    read = getattr(module, f"load_{SUFFIXES[suffix]}")
    array, nm = read(path) if suffix in ALONE else read(path, channel)
    if suffix == ".ibw":
        nm *= array.shape[1] / array.shape[0]  # it divides the height of the scan by the number of columns
    if suffix == ".spm" and array.shape[0] != array.shape[1] and not _tells_width(path):
        # pySPM takes lines for columns there
        nm *= array.shape[1] / array.shape[0]
        array = np.flipud(np.flipud(array).reshape(array.shape[::-1]))
    return np.ascontiguousarray(array), float(nm)


def _tells_width(path: Path) -> bool:
    return b"\\Valid data len X" in _head(path)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD)
