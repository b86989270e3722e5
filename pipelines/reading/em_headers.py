"""Headers of electron micrographs, compared with the length of the file before a library makes room for what they say.

The layouts are those of the MRC2014 standard and of TIA's .ser as C. Boothroyd describes it.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from .errors import ImageError, damaged

MRC_HEAD = 1024  # bytes
MRC_ITEMS = {0: 1, 1: 2, 2: 4, 3: 4, 4: 8, 6: 2, 12: 2, 16: 3}  # bytes a px of each mode; of others one is assumed
SER_HEAD = 30  # bytes up to the offsets of elements, whose width depends on the version
SER_WIDE = 0x210  # later versions have offsets of 64 bits
SER_IMAGES = 0x4122  # elements of two dimensions
SER_CALIBRATION = 40  # bytes before an element's type and sides
SER_ITEMS = {1: 1, 2: 2, 3: 4, 4: 1, 5: 2, 6: 4, 7: 4, 8: 8, 9: 8, 10: 16}  # bytes a px of each type


def check_header(path: Path) -> None:
    """ImageError where an .mrc or .ser tells of more than the file holds; others are left to their reader."""
    suffix, length = path.suffix.lower(), path.stat().st_size
    with path.open("rb") as file:
        if suffix == ".mrc":
            _check_mrc(file, length)
        elif suffix == ".ser":
            _check_ser(file, length)


def _check_mrc(file: BinaryIO, length: int) -> None:
    head = _exactly(file, MRC_HEAD)
    *sides, mode = struct.unpack_from("<4i", head)
    (more,) = struct.unpack_from("<i", head, 92)
    if min(sides) < 1 or more < 0:
        raise damaged(f"its header tells of {' x '.join(map(str, sides))} px after {more} bytes")
    _check_length(MRC_HEAD + more + sides[0] * sides[1] * sides[2] * MRC_ITEMS.get(mode, 1), length)


def _check_ser(file: BinaryIO, length: int) -> None:
    head = _exactly(file, SER_HEAD)
    if head[:2] != b"II":
        raise ImageError("is not a TIA file, or is damaged: it does not begin with II")
    version, kind = struct.unpack_from("<HI", head, 4)
    wide = "<Q" if version > SER_WIDE else "<I"
    (count,), (table,) = struct.unpack_from("<I", head, 18), struct.unpack_from(wide, head, 22)
    _check_length(table + count * struct.calcsize(wide), length)
    if kind != SER_IMAGES or not count:
        return
    file.seek(table)
    (first,) = struct.unpack(wide, _exactly(file, struct.calcsize(wide)))
    _check_length(first, length)
    file.seek(first + SER_CALIBRATION)
    item, width, height = struct.unpack("<HII", _exactly(file, 10))
    _check_length(first + count * width * height * SER_ITEMS.get(item, 1), length)


def _exactly(file: BinaryIO, count: int) -> bytes:
    found = file.read(count)
    if len(found) < count:
        raise damaged("it ends within its header")
    return found


def _check_length(needed: int, length: int) -> None:
    if needed > length:
        raise damaged(f"its header tells of {needed:,} bytes, and it has {length:,}")
