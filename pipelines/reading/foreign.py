"""Formats whose readers are foreign code or follow what a file says: they run in the process that `worker` serves."""

from __future__ import annotations

import contextlib
import importlib
from pathlib import Path

from . import afm, em, matlab, probe
from .errors import LARGEST
from .gwy import read_gwy
from .hdf5 import read_hdf5
from .picture import Picture, Reading, page_index
from .pillow import open_any
from .tiff import read_tiff
from .zarr_store import STORES, read_zarr

HDF5 = (".h5", ".hdf5", ".nxs", ".hdf", ".hspy", ".h5oina")
HDF5_BEGINS = b"\x89HDF\r\n\x1a\n"
EM, AFM, ARRAYS = tuple(em.MODULES), (*afm.SUFFIXES, *probe.SUFFIXES), matlab.SUFFIXES
GWY = ".gwy"
TIFF = (".tif", ".tiff")
FOREIGN = (*HDF5, *EM, *AFM, *ARRAYS, GWY, *TIFF, *STORES)
LIBRARIES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(HDF5, ("h5py",)),
    **dict.fromkeys(TIFF, ("tifffile",)),
    **{suffix: ("dask.array", f"rsciio.{module}") for suffix, module in em.MODULES.items()},
    **{suffix: (f"AFMReader.{module}",) for suffix, module in afm.SUFFIXES.items()},
    **probe.LIBRARIES,
    **dict.fromkeys(ARRAYS, ("scipy.io",)),
    **dict.fromkeys(STORES, ("zarr",)),
}


def is_hdf5(path: Path) -> bool:
    """Whether a file is HDF5, whatever its name: ``.mat`` of version 7.3, ``.nc`` of version 4."""
    with path.open("rb") as file:
        return file.read(len(HDF5_BEGINS)) == HDF5_BEGINS


def prepare(suffix: str) -> None:
    """Import what reads files of this suffix, so that it does not count as time of the first one."""
    for library in LIBRARIES.get(suffix, ()):
        with contextlib.suppress(ImportError):  # told when a file is read
            importlib.import_module(library)


def read_foreign(path: Path, inside: str, reading: Reading, largest: int | None) -> Picture:
    """The picture in a file of one of the suffixes `FOREIGN`, or any picture.

    Raises ImageError and whatever a decoder raises.
    """
    suffix = path.suffix.lower()
    if suffix in STORES:
        return read_zarr(path, inside, reading, LARGEST)
    if suffix in EM:
        return em.read_em(path, reading, LARGEST)
    if suffix in HDF5 or is_hdf5(path):
        return read_hdf5(path, inside, reading, LARGEST)
    if suffix in afm.SUFFIXES:
        return afm.read_afm(path, reading, LARGEST)
    if suffix in probe.SUFFIXES:
        return probe.read_probe(path, reading, LARGEST)
    if suffix in ARRAYS:
        return matlab.read_arrays(path, inside, reading, LARGEST)
    if suffix in TIFF:
        return read_tiff(path, reading, largest)
    if suffix == GWY:
        page_index(reading.page, 1)
        return read_gwy(path, reading)
    return Picture(open_any(path, reading))
