"""Plain containers of pixels: TIFF with the tags that tell its scale, bare pixels, HDF5, stacks; and lengths."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hier.hierarchy import HierError
from hier.pipelines.loading import load
from hier.pipelines.reading.images import ImageError, open_picture, read
from hier.pipelines.reading.picture import Reading, parse_raw
from hier.pipelines.reading.pixel_size import METRES, PixelSize, parse_pixel_size, pixel_size_from
from PIL import Image

from hier.cli.app import main

RNG = np.random.default_rng(5)
GREY16 = RNG.integers(0, 2**16, (40, 56), dtype=np.uint16)
SECOND = GREY16[::-1] + np.uint16(7)
H, W = GREY16.shape
NM = 0.25  # nm per px


def tagged(code: int, text: str) -> dict[str, Any]:
    """A maker's own tag of text, beside a resolution for printers that is not to be believed."""
    return {"extratags": [(code, 2, 0, text.encode("cp1252"), True)], "resolution": (72, 72), "resolutionunit": "INCH"}


FEI, ZEISS = 34682, 34118
TIFFS: dict[str, tuple[dict[str, Any], float | None]] = {
    "fei": (tagged(FEI, "[User]\r\nUser=a\r\n[Scan]\r\nPixelWidth=2.5e-010\r\nPixelHeight=2.5e-010\r\n"), 2.5e-10),
    "fei oblong": (tagged(FEI, "[Scan]\r\nPixelWidth=2e-010\r\nPixelHeight=3e-010\r\n"), 2e-10),
    "fei without": (tagged(FEI, "[User]\r\nUser=a\r\n"), None),
    "zeiss": (tagged(ZEISS, "0\r\n0\r\nAP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = 1.25 nm\r\n"), 1.25e-9),
    "zeiss old": (tagged(ZEISS, "0\r\n0\r\nAP_PIXEL_SIZE\r\nPixel Size = 3 µm\r\n"), 3e-6),
    "zeiss without": (tagged(ZEISS, "0\r\n0\r\nAP_WD\r\nWD = 5.1 mm\r\n"), None),
    "imagej nm": ({"imagej": True, "resolution": (1 / NM, 1 / NM), "metadata": {"unit": "nm"}}, NM * 1e-9),
    "imagej micron": ({"imagej": True, "resolution": (50, 50), "metadata": {"unit": "micron"}}, 2e-8),
    "imagej escaped": ({"imagej": True, "resolution": (50, 50), "metadata": {"unit": "\\u00B5m"}}, 2e-8),
    "imagej none": ({"imagej": True}, None),
    "ome": ({"ome": True, "metadata": {"PhysicalSizeX": 0.4, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.4,
                                       "PhysicalSizeYUnit": "nm"}}, 4e-10),
    "ome default": ({"ome": True, "metadata": {"PhysicalSizeX": 0.4}}, 4e-7),
    "centimetres": ({"resolution": (1e7, 1e7), "resolutionunit": "CENTIMETER"}, 1e-9),
    "printer": ({"resolution": (300, 300), "resolutionunit": "INCH"}, None),
    "oblong": ({"resolution": (1e7, 2e7), "resolutionunit": "CENTIMETER"}, 5e-10),
    "plain": ({}, None),
}  # fmt: skip


@pytest.mark.parametrize("name", TIFFS)
def test_tiff_tags_tell_the_size_of_pixels(name: str, tmp_path: Path) -> None:
    options, metres = TIFFS[name]
    path = tmp_path / ("a.ome.tif" if "ome" in name else "a.tif")
    tifffile.imwrite(path, GREY16, **options)
    found = open_picture(path).pixel_size
    assert (found is None) == (metres is None), found
    if found is not None and metres is not None:
        assert found.value * METRES[found.unit] == pytest.approx(metres, rel=1e-5)


def test_pages_of_tiff_and_gif_count_from_one(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.stack([GREY16, SECOND]), photometric="minisblack")
    frames = [Image.fromarray((a >> 8).astype(np.uint8)) for a in (GREY16, SECOND)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    for name in ("a.tif", "a.gif"):
        first, second = (read(tmp_path / name, Reading.of(page=k)).image for k in (1, 2))
        assert (read(tmp_path / name).image == first).all()
        assert not (second == first).all()
        with pytest.raises(ImageError, match="has pages 1 to 2"):
            read(tmp_path / name, Reading.of(page=3))
    assert (np.asarray(open_picture(tmp_path / "a.tif", Reading.of(page=2)).array) == SECOND).all()
    with pytest.raises(HierError, match="counted from 1"):
        Reading.of(page=0)


def test_bare_pixels_are_read_by_their_layout(tmp_path: Path) -> None:
    for name, raw, text in (
        ("a.raw", GREY16.astype("<u2").tobytes(), f"{W}x{H}:uint16"),
        ("a.bin", b"header" + GREY16.astype(">u2").tobytes(), f"{W}x{H}:uint16be+6"),
        ("b.raw", GREY16.astype("<f4").tobytes(), f"{W}x{H}:float32"),
    ):
        (tmp_path / name).write_bytes(raw)
        assert (np.asarray(open_picture(tmp_path / name, Reading.of(raw=text)).array) == GREY16).all()
    (tmp_path / "two.raw").write_bytes(GREY16.tobytes() + SECOND.tobytes())
    layout = f"{W}x{H}:uint16"
    assert (np.asarray(open_picture(tmp_path / "two.raw", Reading.of(raw=layout, page=2)).array) == SECOND).all()
    with pytest.raises(ImageError, match="give --raw WIDTHxHEIGHT:TYPE"):
        read(tmp_path / "a.raw")
    with pytest.raises(ImageError, match=r"4480 bytes are not .* of 50 x 50 px of uint16"):
        read(tmp_path / "a.raw", Reading.of(raw="50x50:uint16"))
    for wrong in ("512:uint16", "512x512", "512x512:colour", "512x512:uint16-8", "0x0:uint8:"):
        with pytest.raises(HierError, match="--raw"):
            parse_raw(wrong)


def test_arrays_inside_hdf5_are_named_after_the_file(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["entry/data"] = GREY16
        file["entry/data"].attrs["element_size_um"] = [1.0, 2e-3, 2e-3]
        file["entry/stack"] = np.stack([GREY16, SECOND])[None]
        file["entry/text"] = "hello"
        file["row"] = np.arange(5)
    picture = open_picture(f"{path}::/entry/data")
    assert (picture.array == GREY16).all()
    assert picture.pixel_size == PixelSize(0.002, "um")
    assert (open_picture(f"{path}::entry/stack", Reading.of(page=2)).array == SECOND).all()
    for name, message in (
        (f"{path}", r"name the array after the file, as in FILE.h5::/path; its arrays: /entry/data \(40, 56\)"),
        (f"{path}::/entry/stack", r"shape \(1, 2, 40, 56\): a stack; give --page N"),
        (f"{path}::/entry", "/entry is a group"),
        (f"{path}::/nothing", "/nothing is not there"),
        (f"{path}::/row", r"shape \(5,\): not an image"),
        (f"{path}::/entry/text", "an array of integers or floats is needed"),
        (f"{tmp_path}/none.h5::/x", "no such file"),
    ):
        with pytest.raises(ImageError, match=message):
            read(name)
    Image.fromarray(GREY16).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match="is for HDF5, MATLAB, NetCDF and Zarr"):
        read(f"{tmp_path}/a.png::/x")
    path.write_bytes(b"no HDF5" * 50)
    with pytest.raises(ImageError, match="damaged"):
        read(path)


def test_stacks_of_arrays_need_a_page(tmp_path: Path) -> None:
    stack = np.stack([GREY16, SECOND, GREY16, SECOND])
    np.save(tmp_path / "a.npy", stack)
    with pytest.raises(ImageError, match="choose an image with --page N"):
        read(tmp_path / "a.npy")
    assert (np.asarray(open_picture(tmp_path / "a.npy", Reading.of(page=2)).array) == SECOND).all()
    assert (open_picture(stack, Reading.of(page=4)).array == SECOND).all()
    with pytest.raises(ImageError, match="has pages 1 to 4"):
        read(stack, Reading.of(page=5))


# --- lengths


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [("0.02nm", 0.02, "nm"), ("12.5 pm", 12.5, "pm"), ("0.2Å", 0.2, "A"), ("0.2 A", 0.2, "A"), ("1e-3um", 1e-3, "um"),
     ("3 µm", 3, "um"), ("3 μm", 3, "um"), ("2mm", 2, "mm"), (".5 m", 0.5, "m")],
)  # fmt: skip
def test_lengths_are_written_as_people_do(text: str, value: float, unit: str) -> None:
    assert parse_pixel_size(text) == PixelSize(value, unit)
    assert parse_pixel_size(str(PixelSize(value, unit))) == PixelSize(value, unit)


@pytest.mark.parametrize("text", ["0.02", "nm", "0 nm", "-1nm", "1..2nm", "1 furlong", "1e999 nm", "", "1/nm"])
def test_lengths_that_are_none_are_told(text: str) -> None:
    with pytest.raises(HierError, match=r"give a length such as 0.02nm"):
        parse_pixel_size(text)


def test_what_files_say_is_a_length_or_nothing() -> None:
    assert pixel_size_from(2e-11, "m") == PixelSize(0.02, "nm")
    assert pixel_size_from(3e-5, "metre") == PixelSize(30, "um")
    for value, unit in ((0, "nm"), (-1, "nm"), (np.nan, "nm"), (1, "1/nm"), (1, ""), (1, "pixel")):
        assert pixel_size_from(value, unit) is None


def test_the_cell_is_told_in_the_unit_of_the_pixels(
    card_path: Path, tmp_path: Path, monkeypatch: Any, capfd: Any
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY16, imagej=True, resolution=(1 / NM, 1 / NM), metadata={"unit": "nm"})
    (found,) = load(card_path).predict(tmp_path / "a.tif")
    assert found.lattice is not None
    assert found.lattice.unit == "nm"
    assert found.lattice.a_length == pytest.approx(NM * found.lattice.a)
    assert found.lattice.b_length == pytest.approx(NM * found.lattice.b)
    monkeypatch.setenv("NO_COLOR", "1")
    command = ["hier", "predict", str(tmp_path / "a.tif"), "--model", str(card_path), "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit):
        main()
    assert f"a = {found.lattice.a_length:.4g} nm" in capfd.readouterr().out
    monkeypatch.setattr(sys, "argv", [*command, "--json", "--pixel-size", "2 Å"])
    with pytest.raises(SystemExit):
        main()
    (told,) = json.loads(capfd.readouterr().out)
    assert told["lattice"]["unit"] == "A"
    assert told["lattice"]["a_length"] == pytest.approx(2 * told["lattice"]["a"])
