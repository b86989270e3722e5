"""Scanning probe images (spm, ibw, gwy, jpk) through AFMReader, the extra ``hier[afm]``."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .image_errors import ImageError, check_size, missing_extra
from .picture import Picture, Reading, page_index
from .pixel_size import pixel_size_from

SUFFIXES = (".spm", ".ibw", ".gwy", ".jpk")
HEIGHTS = {
    ".spm": ("Height", "Height Sensor", "ZSensor"),
    ".ibw": ("HeightTracee", "HeightTrace", "HeightRetrace", "Height"),
    ".gwy": ("Height", "ZSensor", "Height Sensor", "Topography", "Z"),
    ".jpk": ("height_trace", "height_retrace", "measuredHeight_trace", "measuredHeight_retrace"),
}  # names of the topography, as programs of the makers give them


def read_afm(path: Path, reading: Reading, largest: int | None) -> Picture:
    """One channel: the one asked for, or the height. Raises ImageError, which names the channels there are."""
    suffix = path.suffix.lower()
    page_index(reading.page, 1)
    try:
        module = importlib.import_module(f"AFMReader.{suffix[1:]}")
        from loguru import logger
    except ImportError as error:
        raise missing_extra(path.suffix, "afm", "AFMReader") from error
    logger.disable("AFMReader")  # it tells every step on standard error
    told = ""
    for channel in (reading.channel,) if reading.channel else HEIGHTS[suffix]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                array, nm = _gwy(module, path, channel) if suffix == ".gwy" else _load(module, path, channel)
        except ValueError as error:
            if "channel list" not in str(error):
                raise
            told = str(error).partition("channel list:")[2].strip()
            continue
        check_size(*array.shape[:2], largest)
        return Picture(array, pixel_size_from(nm, "nm"))
    wanted = repr(reading.channel) if reading.channel else "of the height"
    raise ImageError(f"has no channel {wanted}; choose one with --channel: {told[:200]}")


def _load(module: Any, path: Path, channel: str) -> tuple[NDArray[Any], float]:
    suffix = path.suffix.lower()
    array, nm = getattr(module, f"load_{suffix[1:]}")(path, channel)
    if suffix == ".ibw":
        nm *= array.shape[1] / array.shape[0]  # it divides the height of the scan by the number of columns
    return np.ascontiguousarray(array), float(nm)


def _gwy(module: Any, path: Path, channel: str) -> tuple[NDArray[Any], float]:
    """A channel by AFMReader's parser alone: its `load_gwy` takes rows for columns in oblong images."""
    contents: dict[str, Any] = {}
    with path.open("rb") as file:
        if file.read(4) != b"GWYP":
            raise ImageError("is no Gwyddion file: it does not begin with GWYP")
        module.gwy_read_object(file, data_dict=contents)
    channels = module.gwy_get_channels(contents)
    if channel not in channels:
        raise ValueError(f"channel list: {sorted(channels)}")
    field = contents[f"/{channels[channel]}/data"]
    rows, columns = int(field["yres"]), int(field["xres"])
    metres = float(field["xreal"]) / columns
    unit = field.get("si_unit_xy", {}).get("unitstr", "m")
    return field["data"].reshape(rows, columns), metres * 1e9 if unit == "m" else float("nan")
