"""Bare pixels: files without a header that says what they hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .errors import ImageError, check_size
from .picture import Picture, Reading, page_index


def read_raw(path: Path, reading: Reading, largest: int | None) -> Picture:
    """One page of the layout that `reading.raw` gives, mapped; ImageError when the file's length does not fit."""
    layout = reading.raw
    if layout is None:
        raise ImageError("bare pixels have no header: give --raw WIDTHxHEIGHT:TYPE, such as 512x512:uint16")
    check_size(layout.height, layout.width, largest=largest)
    one = layout.width * layout.height * layout.dtype.itemsize
    length = path.stat().st_size - layout.header
    if length < one or length % one:
        raise ImageError(
            f"{length + layout.header} bytes are not {layout.header} and a whole number of {layout.width} x "
            f"{layout.height} px of {layout.dtype.name} ({one} bytes): give another --raw"
        )
    start = layout.header + one * page_index(reading.page, length // one)
    return Picture(np.memmap(path, layout.dtype, "r", start, (layout.height, layout.width)))
