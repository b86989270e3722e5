"""Files made to do harm: they are one line each, soon."""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hier.pipelines.reading import apart
from hier.pipelines.reading.images import ImageError, open_picture, read
from PIL import Image

PIXELS = np.random.default_rng(0).integers(0, 2**16, (40, 48), dtype=np.uint16)
HEIGHT, WIDTH = PIXELS.shape


def mrc(sides: tuple[int, int, int], mode: int = 6, more: int = 0) -> bytes:
    cell = *(2.0 * side for side in sides), 90.0, 90.0, 90.0
    head = struct.pack("<4i", *sides, mode) + struct.pack("<12x3i", *sides) + struct.pack("<6f3i", *cell, 1, 2, 3)
    return head.ljust(92, b"\0") + struct.pack("<i", more) + bytes(112) + b"MAP DD" + bytes(810) + PIXELS.tobytes()


def ser(count: int, first: int, width: int = WIDTH) -> bytes:
    head = struct.pack("<HHHLLLLLL", 0x4949, 0x197, 0x210, 0x4122, 0x4152, 1, count, 34, 0)
    return (
        head
        + bytes(4)
        + struct.pack("<L", first)
        + bytes(40)
        + struct.pack("<HLL", 2, width, HEIGHT)
        + PIXELS.tobytes()
    )


def nested(depth: int) -> bytes:
    """A Gwyddion file of objects that each end within the next: read naively, twice the work for each."""
    inner = b""
    for k in range(depth):
        inner = b"a\0o" + b"X\0" + struct.pack("<L", len(inner) + (k % 2)) + inner
    return b"GWYPT\0" + struct.pack("<L", len(inner)) + inner


def bomb(path: Path) -> None:
    """A compressed strip of 3 MB that unfolds to 3 GB, in a TIFF of 48 x 40 px."""
    tifffile.imwrite(path, PIXELS, compression="zlib", rowsperstrip=HEIGHT)
    with tifffile.TiffFile(path) as file:
        tag = file.pages[0].tags  # type: ignore[union-attr]
        offset, count = tag["StripOffsets"], tag["StripByteCounts"]
        assert offset.count == count.count == 1
    pack = zlib.compressobj()
    begin = pack.compress(b"") + pack.flush(zlib.Z_FULL_FLUSH)
    piece = pack.compress(bytes(10**7)) + pack.flush(zlib.Z_FULL_FLUSH)
    data, strip = bytearray(path.read_bytes()), begin + piece * 300
    for entry, value in ((offset, len(data)), (count, len(strip))):
        data[entry.offset + 2 : entry.offset + 12] = struct.pack("<HLL", 4, 1, value)
    path.write_bytes(bytes(data) + strip)


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "wide.mrc": (lambda path: path.write_bytes(mrc((2**30, 2**30, 2**30))), "tells of .* bytes, and it has"),
    "deep.mrc": (lambda path: path.write_bytes(mrc((WIDTH, HEIGHT, 10**8))), "tells of .* bytes, and it has"),
    "minus.mrc": (lambda path: path.write_bytes(mrc((-WIDTH, -HEIGHT, 1))), "its header tells of -48 x -40 x 1 px"),
    "late.mrc": (lambda path: path.write_bytes(mrc((WIDTH, HEIGHT, 1), more=2**31 - 1)), "tells of .* bytes"),
    "many.ser": (lambda path: path.write_bytes(ser(2**32 - 1, 38)), "tells of .* bytes, and it has"),
    "late.ser": (lambda path: path.write_bytes(ser(1, 2**32 - 1)), "tells of .* bytes, and it has"),
    "wide.ser": (lambda path: path.write_bytes(ser(1, 38, 2**32 - 1)), "tells of .* bytes, and it has"),
    "nested.gwy": (lambda path: path.write_bytes(nested(200)), "cannot be read|has no channel"),
    "bomb.tif": (bomb, r"needs more than 2 GB of memory to be read|takes longer than 10 s"),
}


@pytest.mark.parametrize("name", BAD)
def test_hostile_files_are_one_line_soon(name: str, tmp_path: Path) -> None:
    write, told = BAD[name]
    if name.endswith((".mrc", ".ser")):
        pytest.importorskip("rsciio")
    write(tmp_path / name)
    apart._kept.stop()  # the first file of a process is not tried again
    started = time.monotonic()
    with pytest.raises(ImageError, match=told):
        read(tmp_path / name)
    assert time.monotonic() - started < 25


def test_what_a_picture_is_decides_who_reads_it(tmp_path: Path) -> None:
    """A name lies easily: what Pillow would give to Ghostscript is no picture, and a TIFF is one whatever its name."""
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\n(evil) run\n%%EOF\n"
    (tmp_path / "a.png").write_bytes(eps)
    (tmp_path / "a.tif").write_bytes(eps)
    for name in ("a.png", "a.tif"):
        with pytest.raises(ImageError):
            read(tmp_path / name)
    grey = (PIXELS >> 8).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "b.tif", compression="tiff_lzw")
    (tmp_path / "b.tif").rename(tmp_path / "b.png")
    assert (open_picture(tmp_path / "b.png").array == grey).all()


def test_a_movie_is_read_alone(tmp_path: Path) -> None:
    """rosettasciio opens files of like names beside a movie of Direct Electron's cameras."""
    pytest.importorskip("rsciio")
    (tmp_path / "20260101_00001_movie.mrc").write_bytes(mrc((WIDTH, HEIGHT, 1)))
    (tmp_path / "20260101_00001_info.txt").write_text("not what it should be")
    (tmp_path / "20260101_00001_1_virtual_sum.mrc").write_bytes(b"not what it should be")
    assert (open_picture(tmp_path / "20260101_00001_movie.mrc").array == PIXELS).all()


def test_compressed_colour_is_measured_before_it_is_unfolded(tmp_path: Path) -> None:
    Image.new("P", (10_900, 10_900)).save(tmp_path / "a.gif")
    started = time.monotonic()
    with pytest.raises(ImageError, match="10900 x 10900 px in colour is more than 75 million: crop or shrink it first"):
        read(tmp_path / "a.gif")
    assert time.monotonic() - started < 2


def test_pictures_of_many_passes_are_read_where_they_can_be_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1.5 MB of a progressive JPEG, whose last scan comes 2000 times, would take minutes."""
    grey = (PIXELS >> 8).astype(np.uint8)
    for name, options in {"plain.jpg": {}, "many.jpg": {"progressive": True}}.items():
        Image.fromarray(grey).save(tmp_path / name, quality=100, **options)
        assert np.abs(open_picture(tmp_path / name).array.astype(int) - grey).max() < 4
    apart._kept.stop()
    read(tmp_path / "plain.jpg")
    assert apart._kept.worker is None
    read(tmp_path / "many.jpg")
    assert apart._kept.worker is not None


@pytest.mark.slow
def test_a_progressive_jpeg_does_not_take_for_ever(tmp_path: Path) -> None:
    Image.new("L", (4096, 4096)).save(tmp_path / "a.jpg", progressive=True)
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(data[:-2] + data[data.rindex(b"\xff\xda") : -2] * 20_000 + data[-2:])
    started = time.monotonic()
    with pytest.raises(ImageError, match="takes longer than 10 s"):
        read(tmp_path / "a.jpg")
    assert time.monotonic() - started < 20
