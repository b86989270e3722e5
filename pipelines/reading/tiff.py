"""One page of a TIFF file, with the pixel size that Gatan, Olympus, FEI, Zeiss, OME, ImageJ or the resolution give."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from .errors import check_bytes, check_size
from .picture import Picture, Reading, page_index
from .pillow import open_any
from .pixel_size import PixelSize, from_sides

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

PRINT = 1e-5  # m per px: a coarser resolution is meant for printing and is ignored
CENTIMETRES = {2: 2.54, 3: 1.0}  # in one ResolutionUnit: inch, centimetre
Sides = tuple[float, str, float, str]  # of a pixel: its width and height, each with its unit
GATAN = ((65009, 65003), (65010, 65004))  # tags of a px's width and its unit, of its height
SIS = 33560  # tag of Olympus Soft Imaging Solutions


def read_tiff(path: Path, reading: Reading, largest: int | None) -> Picture:
    """The page asked for, mapped where it is not compressed; through Pillow what tifffile does not support."""
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL + 1)  # it logs what is odd in a file
    with tifffile.TiffFile(path) as file:
        planes = _planes(file)
        page: Any = _first(file) if reading.page is None or planes > 1 else file.pages[_index(reading, file)]
        check_size(page.imagelength, page.imagewidth, largest=largest)
        if reading.page is not None and planes > 1:
            return Picture(_plane(file, path, page_index(reading.page, planes)), tiff_pixel_size(file, page))
        size = tiff_pixel_size(file, page)
        light = page.photometric in (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.RGB)
        dark = page.photometric == tifffile.PHOTOMETRIC.MINISWHITE
        if light or dark:
            try:
                return Picture(_pixels(page, path), size, negative=dark)
            except ValueError as error:
                if "imagecodecs" not in str(error):  # how tifffile says that a codec is not installed
                    raise
    return Picture(open_any(path, replace(reading, page=page.index + 1)), size)


def _index(reading: Reading, file: TiffFile) -> int:
    return page_index(reading.page, len(file.pages))


def _first(file: TiffFile) -> Any:
    """The first page that is no reduced copy of another."""
    pages: Any = file.pages
    return next((page for page in pages if not page.is_reduced), pages[0])


def _planes(file: TiffFile) -> int:
    """How many images its only page holds: planes of it, or images that follow it without pages of their own."""
    if len(file.pages) > 1 or not file.series:
        return 1
    shape, axes = file.series[0].shape, file.series[0].axes
    colour = axes.endswith("S") or (axes == "SYX" and shape[0] in (3, 4))
    return 1 if colour else math.prod(shape[:-2])


def _plane(file: TiffFile, path: Path, index: int) -> NDArray[Any]:
    series = file.series[0]
    height, width = series.shape[-2:]
    if series.dataoffset is not None:  # all of them lie in the file as they are
        dtype, start = np.dtype(file.byteorder + series.dtype.char), series.dataoffset
        start += index * height * width * dtype.itemsize
        if start + height * width * dtype.itemsize <= path.stat().st_size:
            mapped: NDArray[Any] = np.memmap(path, dtype, "r", start, (height, width))
            return mapped
    check_bytes(series.nbytes)
    plane: NDArray[Any] = series.asarray().reshape(-1, height, width)[index]
    return plane


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
    found = _instrument(file) or _gatan(page) or _olympus(file, page) or _ome(file) or _resolution(file, page)
    return None if found is None else from_sides(*found)


def _gatan(page: TiffPage) -> Sides | None:
    sides = [page.tags[code].value for pair in GATAN for code in pair if code in page.tags]
    return (float(sides[0]), str(sides[1]), float(sides[2]), str(sides[3])) if len(sides) == 4 else None


def _olympus(file: TiffFile, page: TiffPage) -> Sides | None:
    pages: Any = file.pages
    for other in pages[:4]:  # beside a picture for viewing lie the pixels as measured, which alone have it
        if SIS in other.tags and other.shape[:2] == page.shape[:2]:
            told = other.tags[SIS].value
            return float(told["pixelsizex"]), "m", float(told["pixelsizey"]), "m"
    return None


def _instrument(file: TiffFile) -> Sides | None:
    if file.is_fei:
        scan = (file.fei_metadata or {}).get("Scan", {})
        if scan.get("PixelWidth") and scan.get("PixelHeight"):
            return float(scan["PixelWidth"]), "m", float(scan["PixelHeight"]), "m"
    if file.is_sem:
        for key in ("ap_image_pixel_size", "ap_pixel_size"):
            entry = (file.sem_metadata or {}).get(key)
            if entry and len(entry) == 3:
                return float(entry[1]), str(entry[2]), float(entry[1]), str(entry[2])
    return None


def _ome(file: TiffFile) -> Sides | None:
    if not file.is_ome:
        return None
    for element in ElementTree.fromstring(file.ome_metadata or "<none/>").iter():
        if element.tag.endswith("}Pixels") and "PhysicalSizeX" in element.attrib:
            given = element.attrib
            unit = given.get("PhysicalSizeXUnit", "µm")
            x = float(given["PhysicalSizeX"])
            return x, unit, float(given.get("PhysicalSizeY", x)), given.get("PhysicalSizeYUnit", unit)
    return None


def _resolution(file: TiffFile, page: TiffPage) -> Sides | None:
    try:
        x, y = (n[1] / n[0] for n in (page.tags["XResolution"].value, page.tags["YResolution"].value))
    except (KeyError, ZeroDivisionError, TypeError, IndexError):
        return None
    unit = str((file.imagej_metadata or {}).get("unit", "")) if file.is_imagej else ""
    if unit not in ("", "inch", "pixel"):
        return x, unit, y, unit
    tag = page.tags.get("ResolutionUnit")
    centimetres = CENTIMETRES.get(int(tag.value)) if tag is not None else None
    if centimetres is None or x * centimetres / 100 > PRINT:
        return None
    return x * centimetres / 100, "m", y * centimetres / 100, "m"
