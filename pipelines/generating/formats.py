"""How exported images lie on disk: PNG folders, `.npy` arrays, HDF5 files, WebDataset tars.

What is known of each image (`About`, and its misfits) stands in ``labels-<shard>.jsonl`` beside PNG files and arrays, a
line an image; in HDF5 as datasets and, whole, as ``about``; in a tar as the ``.json`` of an image. A shard is
written under another name and moved into place when it is whole, so that what is there is always valid.
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
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...hierarchy import GROUP_NAMES, HierError, UnknownNameError
from ...hierarchy.files import whole

FORMATS = ("png", "npy", "hdf5", "webdataset")
APART = ("png", "npy")  # formats of pixels alone: labels lie beside them
WRITERS = 8  # PNG files that are written at a time
_SUFFIX = {"npy": "npy", "hdf5": "h5", "webdataset": "tar"}

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Images:
    """Some finished images: what is known of each as plain data, and either pixels (H, W, 3) uint8 or PNG files."""

    about: Sequence[dict[str, Any]]
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
    """The files of shard `k`: a PNG for each image, or one file of many; last the labels, where they are apart."""
    labels = [out / f"labels-{k:05d}.jsonl"] if format in APART else []
    if format == "png":
        return [*(out / label(i) / f"{i:08d}.png" for i in indices), *labels]
    return [out / f"shard-{k:05d}.{_SUFFIX[format]}", *labels]


@contextmanager
def shard(format: str, files: Sequence[Path], shape: tuple[int, int, int, int]) -> Iterator[Add]:
    """Writes a shard of images of `shape` (N, H, W, 3) to `files`; yields what adds images in order."""
    if format == "png":
        with ThreadPoolExecutor(WRITERS) as pool, _labels(files[-1]) as tell:
            yield _both(_png(files[:-1], pool), tell)
        return
    with whole(files[0]) as path, path.open("wb") as file:
        match format:
            case "npy":
                with _labels(files[-1]) as tell:
                    yield _both(_npy(file, shape), tell)
            case "hdf5":
                with _hdf5(file, shape) as add:
                    yield add
            case _:
                with tarfile.open(fileobj=file, mode="w") as tar:
                    yield lambda images: _webdataset(tar, images)


def _both(first: Add, second: Add) -> Add:
    def add(images: Images) -> None:
        first(images)
        second(images)

    return add


@contextmanager
def _labels(path: Path) -> Iterator[Add]:
    """What is known of the images, a line of JSON each."""
    with whole(path) as part, part.open("w", encoding="utf-8") as file:
        yield lambda images: file.writelines(json.dumps(known) + "\n" for known in images.about)


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
    """Datasets ``images`` (N, H, W, 3), ``labels`` (N,) into the attribute ``groups``, ``indices`` (N,), ``origin``
    (N, 2), ``basis`` (N, 2, 2), whose rows are a and b, ``about``, JSON of all that is known, maybe ``misfits``.

    Made in memory: HDF5 reports a full disk only when it closes a file, and not as an OSError.
    """
    import h5py

    buffer, n = io.BytesIO(), shape[0]
    with h5py.File(buffer, "w") as made:
        made.create_dataset("images", shape, dtype="u1", chunks=(1, *shape[1:]))
        for name, of, dtype in (
            ("labels", (n,), "u1"), ("indices", (n,), "i8"), ("origin", (n, 2), "f8"), ("basis", (n, 2, 2), "f8"),
            ("about", (n,), h5py.string_dtype()),
        ):  # fmt: skip
            made.create_dataset(name, of, dtype=dtype)
        made.attrs["groups"], made.attrs["signal"] = list(GROUP_NAMES), "images"
        done = 0

        def add(images: Images) -> None:
            nonlocal done
            to = slice(done, done + len(images.data))
            made["images"][to] = np.stack([np.asarray(p) for p in images.data])
            made["labels"][to] = [known["number"] for known in images.about]
            made["indices"][to] = [known["index"] for known in images.about]
            made["origin"][to] = [known["origin"] for known in images.about]
            made["basis"][to] = [[known["a"], known["b"]] for known in images.about]
            if misfits := [[k["misfits"][name] for name in GROUP_NAMES] for k in images.about if "misfits" in k]:
                made.require_dataset("misfits", (n, len(GROUP_NAMES)), "f4")[to] = misfits
            made["about"][to] = [json.dumps(known) for known in images.about]
            done = to.stop

        yield add
    file.write(buffer.getbuffer())


def _webdataset(tar: tarfile.TarFile, images: Images) -> None:
    """``<index>.png``, ``.cls`` (0 for p1 to 16 for p6m) and ``.json`` for each image, as WebDataset reads them.

    An image with an ``id`` has that for a name; what has no number has no ``.cls``.

    A tar is written by the standard library; webdataset's own writer does the same after importing much more.
    """
    for known, data in zip(images.about, images.data, strict=True):
        contents = {"png": bytes(data), "json": json.dumps(known).encode()}
        if "number" in known:
            contents["cls"] = str(known["number"]).encode()
        name = known["id"] if "id" in known else f"{known['index']:08d}"
        for suffix, content in contents.items():
            entry = tarfile.TarInfo(f"{name}.{suffix}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
