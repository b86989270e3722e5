"""Gwyddion files: a tree of named values, read here, since AFMReader never comes back from one that is cut short.

The format is the one of Gwyddion's user guide, "Gwyddion native data files".
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Any

import numpy as np

from .errors import ImageError, check_size, damaged
from .picture import Picture, Reading
from .pixel_size import from_sides

SIMPLE = {"b": "<?", "c": "<c", "i": "<i", "q": "<q", "d": "<d"}
ARRAYS = {"C": "S1", "I": "<i4", "Q": "<i8", "D": "<f8"}
HEIGHTS = ("Height", "ZSensor", "Z-Height", "Height Sensor", "Topography", "Z")


def read_gwy(path: Path, reading: Reading) -> Picture:
    """One channel by its title: the one asked for, or the height, or the only one. Raises ImageError."""
    with path.open("rb") as file:
        raw = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if raw[:4] != b"GWYP":
        raise ImageError("is not a Gwyddion file: it does not begin with GWYP")
    contents, _ = _object(raw, 4, len(raw))
    fields = {key.split("/")[1]: value for key, value in contents.items()
              if key.count("/") == 2 and key.endswith("/data") and isinstance(value, dict)}  # fmt: skip
    titles: dict[str, str] = {}
    for number in sorted(fields, key=lambda n: (len(n), n)):  # of channels of one title the first
        titles.setdefault(str(contents.get(f"/{number}/data/title", f"channel {number}")), number)
    begin = [title for height in HEIGHTS for title in titles if title.startswith(f"{height} ")]
    wanted = [reading.channel] if reading.channel else [*HEIGHTS, *begin, *(titles if len(titles) == 1 else ())]
    name = next((title for title in wanted if title in titles), None)
    if name is None:
        which = repr(reading.channel) if reading.channel else "of the height"
        raise ImageError(f"has no channel {which}; choose one with --channel: {', '.join(sorted(titles))[:200]}")
    field = fields[titles[name]]
    rows, columns = int(field["yres"]), int(field["xres"])
    check_size(rows, columns)
    x, y = float(field["xreal"]) / columns, float(field["yreal"]) / rows
    unit = field.get("si_unit_xy", {}).get("unitstr", "m")
    return Picture(np.asarray(field["data"]).reshape(rows, columns), from_sides(x, unit, y, unit))


def _object(raw: mmap.mmap, at: int, limit: int) -> tuple[dict[str, Any], int]:
    """The components of the object at `at`, and where it ends, which is not beyond what it lies in."""
    _, at = _text(raw, at, limit)
    (size,) = struct.unpack_from("<I", raw, at)
    at += 4
    end = at + size
    if end > limit:
        raise damaged("it ends too soon")
    values: dict[str, Any] = {}
    while at < end:
        name, at = _text(raw, at, end)
        kind = chr(raw[at])
        values[name], at = _value(raw, at + 1, kind, end)
    return values, end


def _value(raw: mmap.mmap, at: int, kind: str, limit: int) -> tuple[Any, int]:
    if kind in SIMPLE:
        return struct.unpack_from(SIMPLE[kind], raw, at)[0], at + struct.calcsize(SIMPLE[kind])
    if kind == "s":
        return _text(raw, at, limit)
    if kind == "o":
        return _object(raw, at, limit)
    (count,) = struct.unpack_from("<I", raw, at)
    at += 4
    if kind in ARRAYS:
        dtype = np.dtype(ARRAYS[kind])
        return np.frombuffer(raw, dtype, count, at), at + count * dtype.itemsize
    if kind not in "SO":
        raise damaged(f"values of kind {kind} are not known")
    several: list[Any] = []
    for _ in range(count):
        item, at = _text(raw, at, limit) if kind == "S" else _object(raw, at, limit)
        several.append(item)
    return several, at


def _text(raw: mmap.mmap, at: int, limit: int) -> tuple[str, int]:
    end = raw.find(b"\0", at, limit)
    if end < 0:
        raise damaged("it ends too soon")
    return raw[at:end].decode(), end + 1
