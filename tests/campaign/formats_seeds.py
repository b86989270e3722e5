"""Small good files of every format that is read, made here: what the fuzzer of `formats` damages."""

from __future__ import annotations

import functools
import importlib.util
import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import tifffile
from PIL import Image

HEIGHT, WIDTH = 48, 56
RAW = f"{WIDTH}x{HEIGHT}:uint16"
rows, columns = np.mgrid[:HEIGHT, :WIDTH]
GREY = np.rint(120 + 60 * np.sin(columns * 0.9) + 50 * np.cos(rows * 0.7)).astype(np.uint8)
DEEP = GREY.astype(np.uint16) * 250
COLOUR = np.stack([GREY, GREY[::-1], 255 - GREY], -1)
Array = np.ndarray[Any, Any]
Writer = Callable[[Path], object]


def pillow(array: Array, mode: str | None = None, **options: Any) -> Writer:
    def write(path: Path) -> None:
        image = Image.fromarray(array)
        (image.convert(mode) if mode else image).save(path, **options)

    return write


def several(path: Path) -> None:
    images = [Image.fromarray(x) for x in (COLOUR, COLOUR[::-1], COLOUR[:, ::-1])]
    images[0].save(path, save_all=True, append_images=images[1:])


def tiff(array: Array, **options: Any) -> Writer:
    return lambda path: tifffile.imwrite(path, array, **options)


def npy(array: Array) -> Writer:
    return lambda path: path.write_bytes(npy_bytes(array))


def npy_bytes(array: Array) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=False)
    return stream.getvalue()


def hdf5(version: str = "earliest", array: Array = DEEP, **options: Any) -> Writer:
    def write(path: Path) -> None:
        with h5py.File(path, "w", libver=version) as file:
            group = file.create_group("entry")
            group.attrs["title"] = "made"
            made = group.create_dataset("data", data=array, **options)
            made.attrs["element_size_um"] = [1.0, 0.01, 0.01]
            file["soft"] = h5py.SoftLink("/entry/data")

    return write


def crowded(path: Path) -> None:
    """So many names and attributes that they are kept in trees."""
    with h5py.File(path, "w", libver="latest", track_order=True) as file:
        for k in range(12):
            file.create_group(f"group {k}")
            file.attrs[f"attribute {k}"] = k
        file["data"], file["soft"] = DEEP, h5py.SoftLink("/data")


def velox(path: Path) -> None:
    """An .emd as Velox writes it: one image, with its description as text in bytes."""
    told = {
        "Core": {"MetadataDefinitionVersion": "7.9"},
        "BinaryResult": {"Detector": "HAADF", "PixelSize": {"width": "2.5e-10", "height": "2.5e-10"},
                         "PixelUnitX": "m", "PixelUnitY": "m", "Offset": {"x": "0", "y": "0"}},
        "Instrument": {"InstrumentModel": "made"}, "Scan": {"FrameTime": "1"}, "Detectors": {}, "Optics": {},
        "CustomProperties": {}, "Acquisition": {"AcquisitionStartDatetime": {"DateTime": "0"}},
    }  # fmt: skip
    text = np.frombuffer(json.dumps(told).encode().ljust(4000, b"\0"), np.uint8)[:, None]
    with h5py.File(path, "w") as file:
        string = h5py.string_dtype()
        file.create_dataset("Version", data=np.array([b'{"format": "Velox", "version": "1.0"}'], dtype="S64"))
        image = file.create_group("Data/Image/0123")
        image.create_dataset("Data", data=DEEP[..., None], chunks=(HEIGHT, WIDTH, 1))
        image.create_dataset("Metadata", data=text)
        file.create_dataset("Presentation/Displays/ImageDisplay/1", data=['{"title": "made"}'], dtype=string)
        file.create_dataset("Operations/ImageQueryOperation/1", data=['{"dataPath": "/Data/Image/0123"}'], dtype=string)
        file.create_dataset("Application/Velox/DisplayLayout", data=["{}"], dtype=string)


@functools.cache
def microscopes() -> ModuleType:
    """The writers of instruments' formats, which tests of the readers have."""
    spec = importlib.util.spec_from_file_location(
        "writers", Path(__file__).parent.parent / "pipelines/test_micrographs.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def writers() -> dict[str, Writer]:
    """A writer for each file name; names that differ before the suffix are variants of one format."""
    m = microscopes()
    paletted = Image.fromarray(COLOUR).convert("P", palette=Image.Palette.ADAPTIVE)
    return {
        "grey.png": pillow(GREY), "deep.png": pillow(DEEP), "colour.png": pillow(COLOUR),
        "palette.png": lambda path: paletted.save(path, transparency=0), "several.png": several,
        "grey.jpg": pillow(GREY), "colour.jpg": pillow(COLOUR), "progressive.jpeg": pillow(COLOUR, progressive=True),
        "inks.jpg": pillow(COLOUR, "CMYK"),
        "grey.bmp": pillow(GREY), "colour.bmp": pillow(COLOUR),
        "plain.tif": tiff(DEEP), "big.tiff": tiff(DEEP, byteorder=">", bigtiff=True),
        "zip.tif": tiff(DEEP, compression="zlib", predictor=True), "tiles.tif": tiff(COLOUR, tile=(16, 16)),
        "stack.tif": tiff(np.stack([DEEP, DEEP[::-1]])),
        "imagej.tif": tiff(DEEP, imagej=True, resolution=(4.0, 4.0), metadata={"unit": "nm"}),
        "ome.tif": tiff(DEEP, ome=True, metadata={"PhysicalSizeX": 0.01, "PhysicalSizeXUnit": "um", "axes": "YX"}),
        "dark.tif": tiff(GREY, photometric="MINISWHITE"), "lzw.tif": pillow(COLOUR, compression="tiff_lzw"),
        "jpeg.tif": pillow(COLOUR, compression="jpeg"), "palette.tif": lambda path: paletted.save(path),
        "lossy.webp": pillow(COLOUR), "lossless.webp": pillow(COLOUR, lossless=True), "several.webp": several,
        "grey.gif": pillow(GREY), "several.gif": several,
        "deep.npy": npy(DEEP), "float.npy": npy(DEEP / 7), "order.npy": npy(np.asfortranarray(COLOUR)),
        "long.npy": npy(DEEP.astype(np.longdouble)),
        "plain.h5": hdf5(), "latest.hdf5": hdf5("latest"),
        "chunks.nxs": hdf5("earliest", chunks=(16, 16), compression="gzip", shuffle=True, fletcher32=True),
        "newchunks.h5": hdf5("latest", chunks=(16, 16), compression="gzip"), "scale.hdf": hdf5(scaleoffset=0),
        "grown.h5": hdf5("latest", chunks=(16, 16), maxshape=(None, None), compression="gzip"),
        "longer.h5": hdf5("latest", chunks=(16, 16), maxshape=(None, WIDTH), shuffle=True),
        "crowded.h5": crowded,
        "bare.raw": lambda path: path.write_bytes(DEEP.tobytes()),
        "a.dm3": m.dm(3), "a.dm4": m.dm(4), "stack.dm4": m.dm(4, True), "ncem.emd": m.emd, "velox.emd": velox,
        "a.ser": m.ser, "a.mrc": m.mrc(), "stack.mrc": m.mrc(True),
        **({"a.spm": m.spm} if "a.spm" in m.MICROGRAPHS else {}), "a.ibw": m.ibw, "a.gwy": m.gwy, "a.jpk": m.jpk,
    }  # fmt: skip


@functools.cache
def seeds() -> dict[str, bytes]:
    """The bytes of all of them."""
    made = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, write in writers().items():
            write(Path(folder, name))
            made[name] = Path(folder, name).read_bytes()
    return made
