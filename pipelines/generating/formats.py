"""How exported images lie on disk: PNG folders, `.npy` arrays, HDF5 files, WebDataset tars.

A shard is written under another name and moved into place when it is whole, so that what is there is always valid.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...hierarchy import GROUP_NAMES, HierError, UnknownNameError
from ...hierarchy.files import whole

FORMATS = ("png", "npy", "hdf5", "webdataset")
WRITERS = 8  # PNG files that are written at a time
_SUFFIX = {"npy": "npy", "hdf5": "h5", "webdataset": "tar"}

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Images:
    """Some finished images: their indices, group names, and either pixels (H, W, 3) uint8 or PNG files."""

    indices: Sequence[int]
    labels: Sequence[str]
    data: Sequence[Pixels | bytes]


Add = Callable[[Images], None]


def check_format(name: str) -> None:
    """UnknownNameError for an unknown format, HierError for one whose library is missing."""
    if name not in FORMATS:
        raise UnknownNameError("format", name, FORMATS)
    if name == "hdf5" and find_spec("h5py") is None:
        raise HierError("format hdf5 needs h5py: pip install h5py, or choose png, npy or webdataset")


def encoded(format: str, pixels: Pixels | bytes) -> Pixels | bytes:
    """One image (H, W, 3) as `format` stores it: as it is, or as a PNG file."""
    if format in ("npy", "hdf5") or isinstance(pixels, bytes):
        return pixels
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png", compress_level=3)  # 6, the default, takes twice as long for 4 % less
    return file.getvalue()


def shard_files(format: str, out: Path, k: int, indices: range, label: Callable[[int], str]) -> list[Path]:
    """The files of shard `k`: a PNG for each image, or one file of many."""
    if format == "png":
        return [out / label(i) / f"{i:08d}.png" for i in indices]
    return [out / f"shard-{k:05d}.{_SUFFIX[format]}"]


@contextmanager
def shard(format: str, files: Sequence[Path], shape: tuple[int, int, int, int]) -> Iterator[Add]:
    """Writes a shard of images of `shape` (N, H, W, 3) to `files`; yields what adds images in order."""
    if format == "png":
        with ThreadPoolExecutor(WRITERS) as pool:
            yield _png(files, pool)
        return
    with whole(files[0]) as path, path.open("wb") as file:
        match format:
            case "npy":
                yield _npy(file, shape)
            case "hdf5":
                with _hdf5(file, shape) as add:
                    yield add
            case _:
                with tarfile.open(fileobj=file, mode="w") as tar:
                    yield lambda images: _webdataset(tar, images)


def _png(files: Sequence[Path], pool: ThreadPoolExecutor) -> Add:
    """Files beside each other: each waits for the disk."""
    places = iter(files)

    def write(path: Path, data: Pixels | bytes) -> None:
        with whole(path) as file:
            file.write_bytes(bytes(data))

    def add(images: Images) -> None:
        list(pool.map(write, islice(places, len(images.data)), images.data))

    return add


def _npy(file: BinaryIO, shape: tuple[int, int, int, int]) -> Add:
    """An array that `numpy.load(mmap_mode="r")` maps; written in order, as a map on a full disk kills the process."""
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)

    def add(images: Images) -> None:
        for pixels in images.data:
            file.write(np.asarray(pixels).data)

    return add


@contextmanager
def _hdf5(file: BinaryIO, shape: tuple[int, int, int, int]) -> Iterator[Add]:
    """Datasets ``images`` (N, H, W, 3), ``labels`` (N,) into the attribute ``groups``, and ``indices`` (N,).

    Made in memory: HDF5 reports a full disk only when it closes a file, and not as an OSError.
    """
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as made:
        pixels = made.create_dataset("images", shape, dtype="u1", chunks=(1, *shape[1:]))
        labels = made.create_dataset("labels", shape[:1], dtype="u1")
        indices = made.create_dataset("indices", shape[:1], dtype="i8")
        made.attrs["groups"] = list(GROUP_NAMES)
        done = 0

        def add(images: Images) -> None:
            nonlocal done
            to = slice(done, done + len(images.indices))
            pixels[to] = np.stack([np.asarray(p) for p in images.data])
            labels[to] = [GROUP_NAMES.index(name) for name in images.labels]
            indices[to] = list(images.indices)
            done = to.stop

        yield add
    file.write(buffer.getbuffer())


def _webdataset(tar: tarfile.TarFile, images: Images) -> None:
    """``<index>.png``, ``.cls`` (0 for p1 to 16 for p6m) and ``.json`` for each image, as WebDataset reads them.

    A tar is written by the standard library; webdataset's own writer does the same after importing much more.
    """
    for index, label, data in zip(images.indices, images.labels, images.data, strict=True):
        about = {"index": index, "group": label}
        contents: dict[str, bytes] = {
            "png": bytes(data),
            "cls": str(GROUP_NAMES.index(label)).encode(),
            "json": json.dumps(about).encode(),
        }
        for suffix, content in contents.items():
            entry = tarfile.TarInfo(f"{index:08d}.{suffix}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
