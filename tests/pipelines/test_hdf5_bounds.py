"""HDF5 files that point elsewhere or stand for more than they hold are refused in one line."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hier.pipelines.reading.images import ImageError, open_picture, read

SIDE = 48
PIXELS = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE), dtype=np.uint8)
Fill = Callable[[h5py.Group, str], Any]


def external(file: h5py.Group, name: str) -> None:
    file.create_dataset(name, (SIDE, SIDE), "u1", external=[("secret", 0, SIDE * SIDE)])


def link(file: h5py.Group, name: str) -> None:
    file[name] = h5py.ExternalLink("other.h5", "/data")


def virtual(file: h5py.Group, name: str) -> None:
    layout = h5py.VirtualLayout((SIDE, SIDE), "u1")
    layout[:] = h5py.VirtualSource("other.h5", "data", (SIDE, SIDE))
    file.create_virtual_dataset(name, layout)


def unwritten(file: h5py.Group, name: str) -> None:
    file.create_dataset(name, (10000, 10000), "f8", chunks=(10000, 10000), compression="gzip")


def pieces(file: h5py.Group, name: str) -> None:
    made = file.create_dataset(name, (100, 100), "u1", chunks=(30000, 60000), maxshape=(None, None), compression="gzip")
    made.id.write_direct_chunk((0, 0), b"short")


BAD: dict[str, tuple[Fill, str]] = {
    "external": (external, r"data lies in another file \(secret\), which is not opened: copy it into this one"),
    "link": (link, r"data lies in another file \(other.h5\), which is not opened: copy it into this one"),
    "virtual": (virtual, "data is put together from other arrays, which are not followed: copy it as one"),
    "unwritten": (unwritten, "data holds no pixels: they were never written"),
    "pieces": (pieces, "data is stored in pieces of more than 0.75 GB: copy it in smaller ones"),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what other files may point to: an array, and bytes that are nobody's business."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_bytes(bytes(PIXELS))
    with h5py.File("other.h5", "w") as file:
        file["data"] = PIXELS
    return tmp_path


@pytest.mark.parametrize("name", BAD)
def test_hdf5_that_points_elsewhere_or_unfolds_is_refused(name: str, folder: Path) -> None:
    fill, told = BAD[name]
    with h5py.File(folder / "a.h5", "w") as file:
        fill(file, "data")
        file["good"] = PIXELS
    assert os.path.getsize("a.h5") < 20_000
    with pytest.raises(ImageError, match=f"{told}$"):
        read("a.h5::/data")
    assert (open_picture("a.h5::/good").array == PIXELS).all()


@pytest.mark.parametrize("name", BAD)
def test_so_is_such_a_file_of_a_microscope(name: str, folder: Path) -> None:
    """rosettasciio would follow what h5py follows."""
    writer = pytest.importorskip("rsciio.emd").file_writer
    axes = [
        {"name": n, "size": SIDE, "scale": 1.0, "offset": 0.0, "units": "nm", "navigate": False, "index_in_array": k}
        for k, n in enumerate("yx")
    ]
    metadata = {"General": {"title": "made"}, "Signal": {"signal_type": ""}}
    writer("a.emd", {"data": PIXELS, "axes": axes, "metadata": metadata, "original_metadata": {}})
    assert (open_picture("a.emd").array == PIXELS).all()
    fill, told = BAD[name]
    with h5py.File("a.emd", "a") as file:
        group = file["signals/made"]
        del group["data"]
        fill(group, "data")
    with pytest.raises(ImageError, match=f"{told}$"):
        read("a.emd")


def test_soft_links_are_followed_within_the_file_alone(folder: Path) -> None:
    with h5py.File("a.h5", "w") as file:
        file["entry/data"] = PIXELS
        file["entry/near"] = h5py.SoftLink("data")
        file["far"] = h5py.SoftLink("/entry")
        file["out"] = h5py.ExternalLink("other.h5", "/")
        file["through"] = h5py.SoftLink("/out/data")
        file["one"], file["two"] = h5py.SoftLink("/two"), h5py.SoftLink("/one")
        file["nowhere"] = h5py.SoftLink("/nothing")
    for inside in ("entry/data", "/entry/near", "far/near", "/far/./data", "/far"):
        assert (open_picture(f"a.h5::{inside}").array == PIXELS).all()
    for inside, told in {
        "/through": "out lies in another file",
        "/out/data": "out lies in another file",
        "/one": "a circle of links",
        "/nowhere": "is not there",
        "/entry/data/more": "is not there",
    }.items():
        with pytest.raises(ImageError, match=told):
            read(f"a.h5::{inside}")


def test_names_from_a_file_do_not_steer_the_terminal(folder: Path) -> None:
    with h5py.File("a.h5", "w") as file:
        file["a\nhier: forged\x1b[2J"] = PIXELS
        file["\u202eb"] = PIXELS
    with pytest.raises(ImageError) as caught:
        read("a.h5")
    assert str(caught.value).isprintable()
    assert r"hier: forged\x1b[2J" in str(caught.value)


def test_what_is_refused_takes_no_time(folder: Path) -> None:
    read("other.h5")  # the process is there
    with h5py.File("a.h5", "w") as file:
        unwritten(file, "data")
    started = time.monotonic()
    with pytest.raises(ImageError):
        read("a.h5")
    assert time.monotonic() - started < 2
