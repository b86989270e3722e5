"""Micrographs in their own formats: the picture and the size of its pixels come out as they were put in.

Where the libraries can write a format, they do. The others are written here, as small as their formats allow, and read
through the real libraries; what instruments write has more in it.
"""

from __future__ import annotations

import builtins
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hier.pipelines.reading.afm import read_afm
from hier.pipelines.reading.files import AFM, EM, GWY
from hier.pipelines.reading.foreign import read_foreign
from hier.pipelines.reading.images import ImageError, open_picture, read
from hier.pipelines.reading.picture import Reading
from hier.pipelines.reading.pixel_size import METRES, PixelSize

H, W = 40, 56
y, x = np.mgrid[:H, :W]
GREY16 = np.rint(20000 + 8000 * np.sin(x / 4 + 0.3) + 6000 * np.cos(y / 5) + 90 * x).astype(np.uint16)
SECOND = GREY16[::-1] + np.uint16(7)
NM = 0.25  # nm per px
Array = np.ndarray[Any, Any]
Writer = Callable[[Path], object]


def scaled(array: Array) -> Array:
    return (array.astype(float) - array.min()) / np.ptp(array.astype(float))


# --- formats that are written here


def dm(version: int, stack: bool = False) -> Writer:
    """A Gatan file of version 3 or 4: a tree of tags, some in big and the data in little endian."""
    wide, skip = (">q", b"\0" * 8) if version == 4 else (">l", b"")

    def number(n: int) -> bytes:
        return struct.pack(wide, n)

    def tag(name: str, body: bytes, kind: int = 21) -> bytes:
        size = skip if kind == 21 else b""
        return struct.pack(">BH", kind, len(name)) + name.encode() + size + body

    def simple(name: str, code: int, form: str, value: float) -> bytes:
        return tag(name, b"%%%%" + number(1) + number(code) + struct.pack(form, value))

    def array(name: str, code: int, values: Array) -> bytes:
        return tag(name, b"%%%%" + number(3) + number(20) + number(code) + number(values.size) + values.tobytes())

    def text(name: str, value: str) -> bytes:
        return array(name, 4, np.frombuffer(value.encode("utf-16-le"), "<u2"))

    def group(name: str, *tags: bytes) -> bytes:
        body = b"\1\0" + (number(0) if version == 4 else b"") + number(len(tags)) + b"".join(tags)
        return tag(name, body, 20)

    data = np.stack([GREY16, SECOND]) if stack else GREY16
    units = [(NM, "nm"), (NM, "nm"), (1.0, "")][: data.ndim]
    axes = [group("", simple("Origin", 6, "<f", 0), simple("Scale", 6, "<f", s), text("Units", u)) for s, u in units]
    calibrations = group(
        "Calibrations",
        group("Brightness", simple("Origin", 6, "<f", 0), simple("Scale", 6, "<f", 1), text("Units", "")),
        group("Dimension", *axes),
    )
    sides = group("Dimensions", *(simple("", 5, "<L", n) for n in reversed(data.shape)))
    image = group(
        "ImageData", calibrations, array("Data", 4, data), simple("DataType", 5, "<L", 10), sides,
        simple("PixelDepth", 5, "<L", 2),
    )  # fmt: skip
    tags = group("ImageTags", text("Note", "none"))
    root = [group("ImageList", group("", image, text("Name", "made"), tags)), simple("InImageMode", 5, "<L", 1)]
    body = b"\1\0" + number(len(root)) + b"".join(root)
    head = struct.pack(">l", version) + number(len(body)) + struct.pack(">l", 1)
    return lambda path: path.write_bytes(head + body + b"\0" * 8)


def ser(path: Path) -> None:
    """A TIA file of one image; lengths in metres, rows from the bottom up."""
    unit = b"Number"
    dimension = struct.pack("<LddLL", 1, 0, 1, 0, 0) + struct.pack("<L", len(unit)) + unit
    head = struct.pack("<HHHLLLL", 0x4949, 0x0197, 0x0210, 0x4122, 0x4152, 1, 1)
    offset = len(head) + 8 + len(dimension)
    at = offset + 8
    calibration = struct.pack("<ddL", 0, NM * 1e-9, 0) * 2
    element = calibration + struct.pack("<HLL", 2, W, H) + GREY16[::-1].astype("<u2").tobytes()
    offsets = struct.pack("<LL", at, at + len(element))
    path.write_bytes(
        head + struct.pack("<LL", offset, 1) + dimension + offsets + element + struct.pack("<HHL", 0x4152, 0, 0)
    )


def mrc(stack: bool = False) -> Writer:
    data = np.stack([GREY16, SECOND]) if stack else GREY16[None]
    n = len(data)
    head = struct.pack("<10L", W, H, n, 6, 0, 0, 0, W, H, n)
    head += struct.pack("<6f", 10 * NM * W, 10 * NM * H, 10.0 * n, 90, 90, 90) + struct.pack("<3L", 1, 2, 3)
    head += struct.pack("<3f", data.min(), data.max(), data.mean())
    return lambda path: path.write_bytes(head.ljust(208, b"\0") + b"MAP DD\0\0" + b"\0" * 808 + data.tobytes())


def emd(path: Path) -> None:
    from rsciio.emd import file_writer

    axes = [
        {"name": name, "size": size, "scale": NM, "offset": 0.0, "units": "nm", "navigate": False, "index_in_array": k}
        for k, (name, size) in enumerate((("y", H), ("x", W)))
    ]
    metadata = {"General": {"title": "made"}, "Signal": {"signal_type": ""}}
    file_writer(str(path), {"data": GREY16, "axes": axes, "metadata": metadata, "original_metadata": {}})


def ibw(path: Path) -> None:
    """An Igor wave, version 5, of two channels as Asylum's program names them."""
    data = np.stack([np.flipud(GREY16).T, np.flipud(SECOND).T], -1).astype("<f4") * np.float32(1e-13)
    note = b"ScanMode: made\rFastScanSize: %g\rSlowScanSize: %g\rend: 1" % (W * NM * 1e-9, H * NM * 1e-9)
    labels = b"".join(name.ljust(32, b"\0") for name in (b"", b"HeightTrace", b"PhaseTrace"))
    wave = struct.pack("<LLLlHH6sH32slL", 0, 0, 0, data.size, 2, 0, b"", 1, b"made", 0, 0)
    wave += struct.pack("<4l8d", W, H, 2, 0, *[1.0] * 4, *[0.0] * 4) + bytes(4 + 16)
    wave = (wave + struct.pack("<HHdd", 0, 0, 0, 0)).ljust(320, b"\0")
    sizes = struct.pack("<llll4l4llll", 320 + data.nbytes, 0, len(note), 0, 0, 0, 0, 0, 0, 0, len(labels), 0, 0, 0, 0)
    total = int(np.frombuffer(struct.pack("<HH", 5, 0) + sizes + wave, "<i2").sum(dtype=np.int64))
    head = struct.pack("<HH", 5, -total & 0xFFFF) + sizes
    path.write_bytes(head + wave + data.tobytes(order="F") + note + labels)


def gwy(path: Path) -> None:
    def part(name: str, kind: bytes, body: bytes) -> bytes:
        return name.encode() + b"\0" + kind + body

    def thing(name: str, *parts: bytes) -> bytes:
        body = b"".join(parts)
        return name.encode() + b"\0" + struct.pack("<L", len(body)) + body

    unit = thing("GwySIUnit", part("unitstr", b"s", b"m\0"))
    data = GREY16.astype("<f8") * 1e-13
    field = thing(
        "GwyDataField", part("xres", b"i", struct.pack("<L", W)), part("yres", b"i", struct.pack("<L", H)),
        part("xreal", b"d", struct.pack("<d", W * NM * 1e-9)), part("yreal", b"d", struct.pack("<d", H * NM * 1e-9)),
        part("si_unit_xy", b"o", unit), part("si_unit_z", b"o", unit),
        part("data", b"D", struct.pack("<L", data.size) + data.tobytes()),
    )  # fmt: skip
    whole = thing("GwyContainer", part("/0/data", b"o", field), part("/0/data/title", b"s", b"Height\0"))
    path.write_bytes(b"GWYP" + whole)


def jpk(path: Path) -> None:
    """A JPK image: a TIFF with tags of its maker, a thumbnail first."""
    sizes = [(32834, "d", 1, W * NM * 1e-9, True), (32835, "d", 1, H * NM * 1e-9, True),
             (32838, "I", 1, W, True), (32839, "I", 1, H, True)]  # fmt: skip
    slot = 48  # tags of the second slot, "nominal", follow those of the first, "volts", by so many
    tags = [
        (32848, "s", 0, "height", True), (32849, "I", 1, 0, True), (32896, "I", 1, 2, True),
        (32897, "s", 0, "nominal", True), (32912, "s", 0, "volts", True), (32912 + slot, "s", 0, "nominal", True),
        (32931 + slot, "s", 0, "LinearScaling", True), (32932 + slot, "d", 1, 1e-13, True),
        (32933 + slot, "d", 1, 0.0, True),
    ]  # fmt: skip
    with tifffile.TiffWriter(path) as file:
        file.write(np.zeros((8, 8), np.uint8), extratags=sizes)
        file.write(np.flipud(GREY16), extratags=tags)


def spm(path: Path) -> None:
    data = np.flipud(GREY16.astype(np.int32) - 32768).astype("<i2")
    lines = [
        r"\*File list", r"\Version: 0x09200201", r"\*Scanner list", r"\@Sens. Zsens: V 10.0 nm/V", r"\*Ciao image list",
        r"\Data offset: 8192", rf"\Data length: {data.nbytes}", r"\Bytes/pixel: 2", rf"\Samps/line: {W}",
        rf"\Number of lines: {H}", r"\Aspect Ratio: 1:1", rf"\Scan Size: {W * NM} {H * NM} nm",
        r"\Line Direction: Trace", r'\@2:Image Data: S [Height] "Height"',
        r"\@2:Z scale: V [Sens. Zsens] (0.006713867 V/LSB) 440.0 V", 
        r"\@2:Z offset: V [Sens. Zsens] (0.0067 V/LSB) 0 V",
        r"\*File list end",
    ]  # fmt: skip
    path.write_bytes("\r\n".join([*lines, ""]).encode().ljust(8192, b"\x1a") + data.tobytes())


MICROGRAPHS: dict[str, tuple[str, Writer]] = {
    "a.dm3": ("rsciio", dm(3)),
    "a.DM4": ("rsciio", dm(4)),
    "stack.dm4": ("rsciio", dm(4, True)),
    "a.ser": ("rsciio", ser),
    "a.mrc": ("rsciio", mrc()),
    "stack.mrc": ("rsciio", mrc(True)),
    "a.emd": ("rsciio", emd),
    "a.ibw": ("AFMReader", ibw),
    "a.jpk": ("AFMReader", jpk),
    "a.gwy": ("numpy", gwy),
}
if sys.version_info < (3, 13):  # for which there is no pySPM that reads them rightly
    MICROGRAPHS["a.spm"] = ("AFMReader", spm)


@pytest.mark.parametrize("name", MICROGRAPHS)
def test_micrographs_keep_their_picture_and_the_size_of_their_pixels(name: str, tmp_path: Path) -> None:
    package, write = MICROGRAPHS[name]
    pytest.importorskip(package)
    path = tmp_path / name
    write(path)
    picture = open_picture(path)
    assert picture.array.shape == (H, W)
    assert scaled(np.asarray(picture.array)) == pytest.approx(scaled(GREY16), abs=1e-4)
    assert picture.pixel_size is not None
    assert picture.pixel_size.value * METRES[picture.pixel_size.unit] == pytest.approx(NM * 1e-9, rel=1e-4)
    assert picture.pixel_size.unit == "nm"
    assert float(read(path).image.max()) == 1
    given = read(path, Reading.of(pixel_size="3um")).pixel_size
    assert given == PixelSize(3, "um")
    if "stack" in name:
        second = open_picture(path, Reading.of(page=2))
        assert (np.asarray(second.array) == SECOND).all()
        with pytest.raises(ImageError, match="has no page 3: it has pages 1 to 2"):
            open_picture(path, Reading.of(page=3))
    else:
        with pytest.raises(ImageError, match="has no page 2: it has one page"):
            open_picture(path, Reading.of(page=2))


@pytest.mark.parametrize("name", [f"a{suffix}" for suffix in (*EM, *AFM, GWY)])
@pytest.mark.parametrize("content", [b"\0" * 5000, b"not a micrograph at all\n" * 200, b"GWYP", b"\0\0\0\4\0\0"])
def test_damaged_micrographs_are_told_in_one_line(name: str, content: bytes, tmp_path: Path) -> None:
    pytest.importorskip("rsciio")
    pytest.importorskip("AFMReader")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError) as caught:
        read(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("name", MICROGRAPHS)
def test_micrographs_cut_short_are_told_in_one_line(name: str, tmp_path: Path) -> None:
    package, write = MICROGRAPHS[name]
    pytest.importorskip(package)
    path = tmp_path / name
    write(path)
    whole = path.read_bytes()
    for share in (0.05, 0.5, 0.9):
        path.write_bytes(whole[: int(len(whole) * share)])
        try:
            read(path)
        except ImageError as error:
            assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("name", "library"),
    [("a.dm3", "rosettasciio"), ("a.mrc", "rosettasciio"), ("a.ibw", "AFMReader"), ("a.h5", "h5py")],
)
def test_a_missing_reader_is_named_with_what_installs_it(
    name: str, library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).write_bytes(b"x" * 100)
    for module in [m for m in sys.modules if m.partition(".")[0] in ("rsciio", "AFMReader", "h5py")]:
        monkeypatch.delitem(sys.modules, module)
    real = builtins.__import__

    def refuse(wanted: str, *rest: Any, **more: Any) -> Any:
        if wanted.partition(".")[0] in ("rsciio", "AFMReader", "h5py"):
            raise ImportError(wanted)
        return real(wanted, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    monkeypatch.setattr("importlib.import_module", refuse)
    monkeypatch.setattr("hier.pipelines.reading.files.read_apart", read_foreign)  # here, where they are missing
    with pytest.raises(ImageError, match=rf"pip install {library}$"):
        read(tmp_path / name)


def test_channels_of_afm_files_are_chosen_or_told(tmp_path: Path) -> None:
    pytest.importorskip("AFMReader")
    ibw(tmp_path / "a.ibw")
    phase = open_picture(tmp_path / "a.ibw", Reading.of(channel="PhaseTrace")).array
    assert scaled(phase) == pytest.approx(scaled(SECOND), abs=1e-4)
    for name in ("a.ibw", "a.gwy", "a.spm", "a.jpk"):
        if name not in MICROGRAPHS:
            continue
        MICROGRAPHS[name][1](tmp_path / name)
        with pytest.raises(ImageError, match=r"no channel 'Sound'; choose one with --channel: .*[Hh]eight"):
            open_picture(tmp_path / name, Reading.of(channel="Sound"))


def test_a_pyspm_that_exchanges_lines_and_columns_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("AFMReader")
    spm(tmp_path / "a.spm")
    monkeypatch.setattr("hier.pipelines.reading.afm.version", lambda package: "0.3.4")
    with pytest.raises(ImageError, match=r"pySPM 0\.3\.4, which exchanges lines and columns: use pySPM 0\.6 or later"):
        read_afm(tmp_path / "a.spm", Reading(), None)


def test_spectrum_images_are_told(tmp_path: Path) -> None:
    pytest.importorskip("rsciio")
    from rsciio.emd import file_writer

    axes = [
        {"name": n, "size": s, "scale": 1.0, "offset": 0.0, "units": "nm", "navigate": n != "E", "index_in_array": k}
        for k, (n, s) in enumerate((("y", 5), ("x", 6), ("E", 50)))
    ]
    metadata = {"General": {"title": "spectra"}, "Signal": {"signal_type": ""}}
    signal = {"data": np.zeros((5, 6, 50)), "axes": axes, "metadata": metadata, "original_metadata": {}}
    file_writer(str(tmp_path / "a.emd"), signal)
    with pytest.raises(ImageError):
        read(tmp_path / "a.emd")
