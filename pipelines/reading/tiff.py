"""One page of a TIFF file, with the pixel size that ImageJ, OME, FEI, Zeiss or the resolution tags give."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from .errors import check_bytes, check_size
from .picture import Picture, Reading, page_index
from .pillow import open_any
from .pixel_size import PixelSize, pixel_size_from

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

PRINT = 1e-5  # m per px: a coarser resolution is meant for printing and is ignored
CENTIMETRES = {2: 2.54, 3: 1.0}  # in one ResolutionUnit: inch, centimetre
SQUARE = 0.01  # relative difference of a pixel's sides below which it is square


def read_tiff(path: Path, reading: Reading, largest: int | None) -> Picture:
    """The page asked for, mapped where it is not compressed; through Pillow what tifffile does not support."""
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL + 1)  # it logs what is odd in a file
    with tifffile.TiffFile(path) as file:
        page: Any = file.pages[page_index(reading.page, 1 if reading.page is None else len(file.pages))]
        check_size(page.imagelength, page.imagewidth, largest=largest)
        light = page.photometric in (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.RGB)
        dark = page.photometric == tifffile.PHOTOMETRIC.MINISWHITE
        if light or dark:
            size = tiff_pixel_size(file, page)
            try:
                return Picture(_pixels(page, path), size, negative=dark)
            except ValueError as error:
                if "imagecodecs" not in str(error):  # how tifffile says that a codec is not installed
                    raise
    return Picture(open_any(path, reading))


def _pixels(page: TiffPage, path: Path) -> NDArray[Any]:
    if page.is_memmappable and page.nbytes > 0 and int(page.dataoffsets[0]) + page.nbytes <= path.stat().st_size:
        dtype = page.parent.byteorder + np.dtype(page.dtype).char
        return np.memmap(path, dtype, "r", int(page.dataoffsets[0]), page.shape)
    check_size(page.imagelength, page.imagewidth, 3 if page.samplesperpixel > 2 else 1)
    check_bytes(page.nbytes)
    check_bytes(math.prod(page.chunks) * np.dtype(page.dtype).itemsize, "a tile of it")
    array: NDArray[Any] = page.asarray()
    return array


def tiff_pixel_size(file: TiffFile, page: TiffPage) -> PixelSize | None:
    """Pixel size of a page, from the most exact of its sources; None for oblong pixels, which have no single size."""
    found = _instrument(file) or _ome(file) or _resolution(file, page)
    if found is None:
        return None
    x, y, unit = found
    if abs(x - y) > SQUARE * max(abs(x), abs(y)):
        return None
    return pixel_size_from(x, unit)


def _instrument(file: TiffFile) -> tuple[float, float, str] | None:
    if file.is_fei:
        scan = (file.fei_metadata or {}).get("Scan", {})
        if scan.get("PixelWidth") and scan.get("PixelHeight"):
            return float(scan["PixelWidth"]), float(scan["PixelHeight"]), "m"
    if file.is_sem:
        for key in ("ap_image_pixel_size", "ap_pixel_size"):
            entry = (file.sem_metadata or {}).get(key)
            if entry and len(entry) == 3:
                return float(entry[1]), float(entry[1]), str(entry[2])
    return None


def _ome(file: TiffFile) -> tuple[float, float, str] | None:
    if not file.is_ome:
        return None
    for element in ElementTree.fromstring(file.ome_metadata or "<none/>").iter():
        if element.tag.endswith("}Pixels") and "PhysicalSizeX" in element.attrib:
            given = element.attrib
            unit = given.get("PhysicalSizeXUnit", "µm")
            x = float(given["PhysicalSizeX"])
            return x, float(given.get("PhysicalSizeY", x)), unit
    return None


def _resolution(file: TiffFile, page: TiffPage) -> tuple[float, float, str] | None:
    try:
        x, y = (n[1] / n[0] for n in (page.tags["XResolution"].value, page.tags["YResolution"].value))
    except (KeyError, ZeroDivisionError, TypeError, IndexError):
        return None
    unit = str((file.imagej_metadata or {}).get("unit", "")) if file.is_imagej else ""
    if unit not in ("", "inch", "pixel"):
        return x, y, unit
    tag = page.tags.get("ResolutionUnit")
    centimetres = CENTIMETRES.get(int(tag.value)) if tag is not None else None
    if centimetres is None or x * centimetres / 100 > PRINT:
        return None
    return x * centimetres / 100, y * centimetres / 100, "m"
