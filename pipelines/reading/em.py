"""Electron micrographs (dm3, dm4, emd, ser, emi, mrc) through rosettasciio, the extra ``em``."""

from __future__ import annotations

import glob
import importlib
import logging
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from .em_headers import check_header
from .errors import ImageError, check_bytes, check_size, damaged, missing_reader
from .hdf5_bounds import check_file
from .picture import Picture, Reading, page_index, plain
from .pixel_size import PixelSize, from_sides

MODULES = {
    ".dm3": "digitalmicrograph",
    ".dm4": "digitalmicrograph",
    ".emd": "emd",
    ".ser": "tia",
    ".emi": "tia",  # reads the .ser beside it
    ".mrc": "mrc",
}


def read_em(path: Path, reading: Reading, largest: int | None) -> Picture:
    """One image of the file; the page asked for if it holds a stack or several images. Raises ImageError."""
    suffix = path.suffix.lower()
    try:
        reader = importlib.import_module(f"rsciio.{MODULES[suffix]}")
    except ImportError as error:
        raise missing_reader(path.suffix, "rosettasciio") from error
    logging.getLogger("rsciio").setLevel(logging.CRITICAL)  # its notes on metadata would clutter our output
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if suffix == ".emd":
            _check_emd(path)
        elif suffix == ".emi":
            _check_beside(path)
        else:
            check_header(path)
        signals = _signals(reader, path)
        images = [s for s in signals if len(_image_axes(s)) == 2]
        if not images:
            shapes = ", ".join(str(tuple(s["data"].shape)) for s in signals) or "none"
            raise ImageError(f"holds no image, only spectra or bare numbers (shapes {shapes}): export an image from it")
        if suffix not in (".emd", ".emi") and sum(s["data"].nbytes for s in images) > path.stat().st_size:
            raise damaged("it is shorter than the images that its header tells of")
        return _chosen(images, reading.page, largest)


def _check_emd(path: Path) -> None:
    import h5py

    with h5py.File(path, "r") as file:
        check_file(file)


def _check_beside(path: Path) -> None:
    """ImageError where the files that hold an .emi's pixels are missing or damaged."""
    beside = sorted(path.parent.glob(f"{glob.escape(path.stem)}_*.ser"))
    if not beside:
        raise ImageError(f"tells of images that are in another file: put {path.stem}_1.ser beside it")
    for file in beside:
        check_header(file)


def _chosen(images: list[dict[str, Any]], page: int | None, largest: int | None) -> Picture:
    counts = [math.prod(_navigation(s)) for s in images]
    index = page_index(page, sum(counts))
    if page is None:  # a Fourier transform may be stored before its image
        real = next((k for k, s in enumerate(images) if s["data"].dtype.kind != "c"), 0)
        index = sum(counts[:real])
    for signal, count in zip(images, counts, strict=True):
        if index < count:
            return _page(signal, index, largest)
        index -= count
    raise ImageError("holds no image")


def _signals(reader: Any, path: Path) -> list[dict[str, Any]]:
    """What the file holds, not in memory yet where the library can leave it on disk."""
    alone = {"metadata_file": None} if path.suffix.lower() == ".mrc" else {}  # or it opens files of like names
    try:
        signals: list[dict[str, Any]] = reader.file_reader(str(path), lazy=True, **alone)
    except ValueError as error:
        if "lazy" not in str(error).lower():
            raise
        signals = reader.file_reader(str(path), lazy=False, **alone)
    return signals


def _image_axes(signal: dict[str, Any]) -> list[dict[str, Any]]:
    """The axes of an image; some readers report those of a single image as navigation axes."""
    axes: list[dict[str, Any]] = signal["axes"]
    within = [axis for axis in axes if not axis.get("navigate", False)]
    return within if within or len(axes) != 2 else axes


def _navigation(signal: dict[str, Any]) -> tuple[int, ...]:
    data = signal["data"]
    return tuple(data.shape[: len(signal["axes"]) - 2])


def _page(signal: dict[str, Any], index: int, largest: int | None) -> Picture:
    lead = _navigation(signal)
    data = signal["data"][np.unravel_index(index, lead)] if lead else signal["data"]
    check_size(*data.shape[:2], largest=largest)
    check_bytes(data.nbytes)
    return Picture(plain(np.asarray(data)), _pixel_size(_image_axes(signal)))


def _pixel_size(axes: list[dict[str, Any]]) -> PixelSize | None:
    (y, high), (x, wide) = ((float(axis.get("scale", 0)), str(axis.get("units", ""))) for axis in axes)
    return from_sides(x, wide, y, high)
