"""Scanning probe images of Nanonis (sxm) and Nanosurf (nid), through their readers of the extra ``afm``."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .errors import ImageError, check_size, missing_reader
from .picture import Picture, Reading, page_index
from .pixel_size import from_sides

HEIGHTS = {".sxm": ("Z",), ".nid": ("Z-Axis", "Topography", "Z-Axis Sensor")}
SUFFIXES = tuple(HEIGHTS)
LIBRARIES = {".sxm": ("nanonispy2.read",), ".nid": ("NSFopen.read",)}


def read_probe(path: Path, reading: Reading, largest: int | None) -> Picture:
    """One channel of the forward scan: the one asked for, or the height. Raises ImageError, which names all."""
    suffix = path.suffix.lower()
    page_index(reading.page, 1)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        channels, (wide, high) = (_sxm if suffix == ".sxm" else _nid)(path)
    wanted = [reading.channel] if reading.channel else [*HEIGHTS[suffix], *(channels if len(channels) == 1 else ())]
    name = next((channel for channel in wanted if channel in channels), None)
    if name is None:
        which = repr(reading.channel) if reading.channel else "of the height"
        raise ImageError(f"has no channel {which}; choose one with --channel: {', '.join(channels)[:200] or 'none'}")
    array = np.asarray(channels[name], dtype=np.float64)
    rows, columns = array.shape
    check_size(rows, columns, largest=largest)
    return Picture(array, from_sides(wide / columns, "m", high / rows, "m"))


def _sxm(path: Path) -> tuple[Mapping[str, Any], tuple[float, float]]:
    """Channels, the first line on top, and the sides of the scan in m."""
    try:
        from nanonispy2.read import Scan
    except ImportError as error:
        raise missing_reader(path.suffix, "nanonispy2") from error
    scan = Scan(str(path))
    up = str(scan.header.get("scan_dir", "down")).strip() == "up"
    found = {name: both["forward"][::-1] if up else both["forward"] for name, both in scan.signals.items()}
    wide, high = (float(side) for side in scan.header["scan_range"])
    return found, (wide, high)


def _nid(path: Path) -> tuple[Mapping[str, Any], tuple[float, float]]:
    try:
        from NSFopen.read import read
    except ImportError as error:
        raise missing_reader(path.suffix, "NSFopen") from error
    file = read(str(path), verbose=False)
    if ("Image", "Forward") not in {key[:2] for key in file.data.keys()}:  # noqa: SIM118 (a pandas.Series)
        raise ImageError("holds no image, only spectra")
    image = file.data["Image"]["Forward"]
    header = file.param["HeaderDump"]
    scan = next(h for h in header if isinstance(h, dict) and h.get("Frame") == "Scan forward")  # others may be spectra
    wide, high = (float(scan[f"Dim{axis}Range"]) for axis in (0, 1))
    return {str(name): image[name] for name in image.keys()}, (wide, high)  # noqa: SIM118
