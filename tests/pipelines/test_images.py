"""Reading images: every format as the same picture, and one clear line for all that cannot be used."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from hier.pipelines.reading.images import FlatImageError, ImageError, images_in, read_image
from PIL import Image
from torch import Tensor

H, W = 40, 56
y, x = np.mgrid[:H, :W]
GREY = (0.5 + 0.25 * np.sin(x / 4) + 0.25 * np.cos(y / 5)).astype(np.float32)
GREY = (GREY - GREY.min()) / np.ptp(GREY)
GREY8, GREY16 = np.rint(GREY * 255).astype(np.uint8), np.rint(GREY * 65535).astype(np.uint16)
RGB8 = np.stack([GREY8, GREY8[::-1], 255 - GREY8], -1)
Writer = Callable[[Path], None]


def pillow(array: np.ndarray, **options: object) -> Writer:  # type: ignore[type-arg]
    return lambda path: Image.fromarray(array).save(path, **options)  # type: ignore[arg-type]


def tiff(array: np.ndarray, **options: object) -> Writer:  # type: ignore[type-arg]
    return lambda path: tifffile.imwrite(path, array, **options)  # type: ignore[arg-type]


GREY_FILES: dict[str, Writer] = {
    "8 bit.png": pillow(GREY8),
    "16 bit.png": pillow(GREY16),
    "one.bmp": pillow(GREY8),
    "one.gif": pillow(GREY8),
    "one.webp": pillow(GREY8, lossless=True),
    "one.jpg": pillow(GREY8, quality=98),
    "8 bit.tif": tiff(GREY8),
    "16 bit.tiff": tiff(GREY16),
    "float.tif": tiff(GREY),
    "compressed.tif": tiff(GREY16, compression="zlib"),
    "tiled.tif": tiff(GREY16, tile=(16, 16)),
    "white is zero.tif": tiff(255 - GREY8, photometric="miniswhite"),
    "pages.tif": tiff(np.stack([GREY8, 255 - GREY8]), photometric="minisblack"),
    "big endian.tif": tiff(GREY16, byteorder=">"),
    "lzw.tif": pillow(GREY8, compression="tiff_lzw"),
    "lzw 16 bit.tif": pillow(GREY16, compression="tiff_lzw"),
    "lzw float.tif": pillow(GREY, compression="tiff_lzw"),
    "palette.tif": lambda path: Image.fromarray(GREY8).convert("P").save(path),
    "float.npy": lambda path: np.save(path, GREY),
    "double.npy": lambda path: np.save(path, 1e6 * GREY.astype(np.float64) - 7e5),
    "signed.npy": lambda path: np.save(path, np.rint(GREY * 60000 - 30000).astype(np.int32)),
    "opaque.png": lambda path: Image.fromarray(GREY8).convert("LA").save(path),
    "palette.png": lambda path: Image.fromarray(GREY8).convert("P").save(path),
    "UPPER.PNG": pillow(GREY8),
}
COLOUR_FILES: dict[str, Writer] = {
    "colour.png": pillow(RGB8),
    "opaque.png": lambda path: Image.fromarray(RGB8).convert("RGBA").save(path),
    "colour.tif": tiff(RGB8, photometric="rgb"),
    "planes.tif": tiff(np.moveaxis(RGB8, -1, 0), photometric="rgb", planarconfig="separate"),
    "colour.npy": lambda path: np.save(path, RGB8),
    "planes.npy": lambda path: np.save(path, np.moveaxis(RGB8, -1, 0)),
    "colour.jpg": pillow(RGB8, quality=98, subsampling=0),
    "lzw.tif": pillow(RGB8, compression="tiff_lzw"),
    "palette.png": lambda path: Image.fromarray(RGB8).quantize(256).save(path),
    "palette.tif": lambda path: Image.fromarray(RGB8).quantize(256).save(path),
    "jpeg.tif": pillow(RGB8, compression="jpeg", quality=98),
    "print.tif": lambda path: Image.fromarray(RGB8).convert("CMYK").save(path),
}


def check(image: Tensor, want: np.ndarray, tolerance: float) -> None:  # type: ignore[type-arg]
    assert image.shape == (3, H, W)
    assert image.dtype == torch.float32
    assert 0 <= float(image.min()) < float(image.max()) <= 1
    assert float((image - torch.from_numpy(np.broadcast_to(want, (3, H, W)).copy())).abs().max()) < tolerance


@pytest.mark.parametrize("name", GREY_FILES)
def test_grey_files_of_every_format_are_the_same_image(name: str, tmp_path: Path) -> None:
    GREY_FILES[name](tmp_path / name)
    check(read_image(tmp_path / name), GREY, 0.03 if "jpg" in name else 0.005)


@pytest.mark.parametrize("name", COLOUR_FILES)
def test_colour_files_of_every_format_are_the_same_image(name: str, tmp_path: Path) -> None:
    COLOUR_FILES[name](tmp_path / name)
    check(
        read_image(tmp_path / name),
        np.moveaxis(RGB8, -1, 0) / np.float32(255),
        0.1 if "jpg" in name or "palette" in name else 0.005,
    )


def test_arrays_tensors_and_pictures_are_read_like_files() -> None:
    for given in (
        GREY,
        GREY8,
        GREY16,
        GREY[None],
        torch.from_numpy(GREY),
        GREY.astype(np.float16),
        Image.fromarray(GREY8),
    ):
        check(read_image(given), GREY, 0.005)
    check(read_image(GREY > 0.5), (GREY > 0.5).astype(np.float32), 1e-6)
    check(read_image(torch.from_numpy(RGB8).permute(2, 0, 1)), np.moveaxis(RGB8, -1, 0) / np.float32(255), 0.005)
    check(read_image(torch.from_numpy(GREY).bfloat16()), GREY, 0.01)
    check(read_image(torch.from_numpy(GREY).requires_grad_()), GREY, 0.005)


def test_nothing_masked_is_read() -> None:
    """What is masked may be anything, NaN too: at the edges it is cut off, elsewhere the median of the rest."""
    high, wide = GREY.shape
    framed = np.ma.masked_all((high + 3, wide + 5), GREY.dtype)
    framed.data[:] = np.nan
    framed[3:, :wide] = GREY
    check(read_image(framed), GREY, 0.005)
    spoilt = np.ma.masked_array(RGB8.copy())
    spoilt[4:9, 6:8, 1] = np.ma.masked
    spoilt.data[4:9, 6:8] = 255
    expected = np.moveaxis(RGB8, -1, 0) / np.float32(255)
    found = read_image(spoilt).numpy()
    expected[:, 4:9, 6:8] = found[:, 4:9, 6:8]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.ptp(found[:, 4:9, 6:8], (1, 2)).max() == 0
    with pytest.raises(ImageError, match="all of it is masked"):
        read_image(np.ma.masked_all((64, 64)))


def test_transparent_pixels_are_laid_on_white(tmp_path: Path) -> None:
    alpha = np.where(x < W // 2, 0, 255).astype(np.uint8)
    for name, array in {"colour": np.dstack([RGB8, alpha]), "grey": np.dstack([GREY8, alpha])}.items():
        Image.fromarray(array, "RGBA" if array.shape[-1] == 4 else "LA").save(tmp_path / f"{name}.png")
        image = read_image(tmp_path / f"{name}.png")
        assert (image[..., : W // 2] == 1).all()
        assert float(image[..., W // 2 :].min()) < 0.5


def test_sixteen_bits_are_not_cut_to_eight(tmp_path: Path) -> None:
    Image.fromarray((30000 + 200 * GREY).astype(np.uint16)).save(tmp_path / "faint.png")
    assert len(read_image(tmp_path / "faint.png").unique()) > 150


def bomb(path: Path) -> None:
    """A PNG of a few bytes whose header promises 60 thousand by 60 thousand px."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")]
    chunks = [struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in parts]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def gigantic_array(path: Path) -> None:
    np.lib.format.open_memmap(path, "w+", np.uint8, (64, 64)).flush()
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"(64, 64)", b"(640000, 64000)")[:128] + raw[128:])


def gigantic_tiff(path: Path) -> None:
    tifffile.imwrite(path, shape=(64, 64), dtype=np.uint8)
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages[0].tags["ImageWidth"].overwrite(60_000)  # type: ignore[union-attr]
        file.pages[0].tags["ImageLength"].overwrite(60_000)  # type: ignore[union-attr]


def cut(write: Writer, keep: float) -> Writer:
    def write_part(path: Path) -> None:
        write(path)
        raw = path.read_bytes()
        path.write_bytes(raw[: int(len(raw) * keep)])

    return write_part


def holes(value: float) -> np.ndarray:  # type: ignore[type-arg]
    array = GREY.copy()
    array[3, 4:6] = value
    return array


BAD: dict[str, tuple[Writer, str]] = {
    "missing.png": (lambda path: None, "no such file"),
    "empty.png": (lambda path: path.touch(), "empty"),
    "empty.npy": (lambda path: path.touch(), "empty"),
    "folder.png": (lambda path: path.mkdir(), "folder"),
    "text.png": (lambda path: path.write_text("not an image at all\n" * 50) and None, "not an image format"),
    "text.tif": (lambda path: path.write_text("not an image at all\n" * 50) and None, "TIFF"),
    "text.npy": (lambda path: path.write_text("not an image at all\n" * 50) and None, "damaged"),
    "text": (lambda path: path.write_text("hello") and None, "not an image format"),
    "picture.svg": (lambda path: path.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>") and None, "are not read"),
    "cut.png": (cut(pillow(GREY8), 0.5), "damaged"),
    "cut.jpg": (cut(pillow(GREY8), 0.5), "damaged"),
    "cut.bmp": (cut(pillow(GREY8), 0.5), "damaged"),
    "cut.gif": (cut(pillow(GREY8), 0.5), "damaged"),
    "cut.webp": (cut(pillow(GREY8), 0.5), "damaged|not an image format"),
    "cut.tif": (cut(tiff(GREY16), 0.5), "damaged|TIFF"),
    "cut at the head.tif": (cut(tiff(GREY16), 0.01), "damaged|TIFF"),
    "cut squeezed.tif": (cut(tiff(GREY16, compression="zlib"), 0.6), "damaged|TIFF"),
    "cut.npy": (cut(lambda path: np.save(path, GREY), 0.5), "damaged"),
    "cut at the head.npy": (cut(lambda path: np.save(path, GREY), 0.003), "damaged"),
    "pickle.npy": (lambda path: np.save(path, np.array([{}], dtype=object), allow_pickle=True), "damaged"),
    "words.npy": (lambda path: np.save(path, np.full((H, W), "a")), "<U1 cannot be used as an image"),
    "complex.npy": (lambda path: np.save(path, GREY * 1j), "complex"),
    "row.npy": (lambda path: np.save(path, GREY[0]), r"\(56,\)"),
    "stack.npy": (lambda path: np.save(path, np.zeros((2, 3, H, W))), r"\(2, 3, 40, 56\)"),
    "nothing.npy": (lambda path: np.save(path, np.zeros((0, 0))), "too small"),
    "scalar.npy": (lambda path: np.save(path, np.float32(3)), r"shape \(\)"),
    "not a number.npy": (lambda path: np.save(path, holes(np.nan)), "2 of 2240 values"),
    "not a number.tif": (tiff(holes(np.nan)), "2 of 2240 values"),
    "infinite.npy": (lambda path: np.save(path, holes(np.inf)), "2 of 2240 values"),
    "pixel.png": (pillow(GREY8[:1, :1]), "1 x 1 px is too small: at least 32"),
    "line.png": (pillow(GREY8[:1]), "56 x 1 px is too small"),
    "pixel.tif": (tiff(GREY8[:1, :1]), "too small"),
    "constant.png": (pillow(np.full_like(GREY8, 77)), "is constant"),
    "red.png": (pillow(np.full((H, W, 3), (200, 30, 0), np.uint8)), "is constant"),
    "constant.tif": (tiff(np.full_like(GREY, -3.5)), "is constant"),
    "zero.npy": (lambda path: np.save(path, np.zeros((H, W))), "is constant"),
    "constant 16 bit.png": (pillow(np.full_like(GREY16, 7777)), "is constant"),
    "clear.png": (pillow(np.zeros((H, W, 4), np.uint8)), "is constant"),
    "bomb.png": (bomb, "60000 x 60000 px|too large"),
    "bomb.tif": (gigantic_tiff, "60000 x 60000 px"),
    "bomb.npy": (gigantic_array, "640000|damaged|memory"),
}  # fmt: skip


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_used_is_told_in_one_line(name: str, tmp_path: Path) -> None:
    write, message = BAD[name]
    write(tmp_path / name)
    with pytest.raises(ImageError, match=message) as caught:
        read_image(tmp_path / name)
    text = str(caught.value)
    assert "\n" not in text
    assert str(tmp_path) not in text, "whoever shows the error says which file"
    assert len(text) < 300


@pytest.mark.parametrize("value", [0, 0.25, 1, 255, -4e9])
def test_constant_images_are_told_apart_from_broken_ones(value: float) -> None:
    with pytest.raises(FlatImageError):
        read_image(np.full((64, 64), value))


def test_small_units_are_no_constant_images() -> None:
    check(read_image(3e-9 * GREY), GREY, 0.005)  # heights in metres
    check(read_image(0.4 + 1e-4 * GREY.astype(np.float64)), GREY, 0.005)
    check(read_image(1e308 * (2 * GREY.astype(np.float64) - 1) * 1.5), GREY, 0.005)
    check(read_image(0.2 + 0.5 * GREY), 0.2 + 0.5 * GREY, 1e-6)
    with pytest.raises(FlatImageError):
        read_image(0.1 + 1e-12 * GREY.astype(np.float64))


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "webp", "tif", "lzw.tif", "npy"])
def test_damaged_files_are_read_or_refused_in_one_line(suffix: str, tmp_path: Path) -> None:
    whole = tmp_path / f"whole.{suffix}"
    writers = {"npy": lambda path: np.save(path, GREY), "lzw.tif": pillow(GREY16, compression="tiff_lzw")}
    writers.get(suffix, pillow(RGB8))(whole)
    raw = whole.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(raw)
        for at in rng.integers(0, min(len(raw), 400) if rng.random() < 0.7 else len(raw), rng.integers(1, 6)):
            damaged[at] = rng.integers(256)
        path = tmp_path / f"damaged.{suffix}"
        path.write_bytes(damaged)
        try:
            image = read_image(path)
        except ImageError as error:
            assert "\n" not in str(error)  # noqa: PT017
        else:
            assert image.isfinite().all()


@pytest.mark.parametrize("path", ["a" * 300 + ".png", "a\0b.png", "", "/dev/null"])
def test_names_that_can_be_no_file(path: str) -> None:
    with pytest.raises(ImageError):
        read_image(path)


def test_pictures_that_break_when_they_are_decoded(tmp_path: Path) -> None:
    cut(pillow(GREY8), 0.5)(tmp_path / "cut.png")
    with Image.open(tmp_path / "cut.png") as image, pytest.raises(ImageError, match="damaged"):
        read_image(image)


def test_what_is_no_image_at_all() -> None:
    for given in (None, 3, [[1, 2], [3, 4]], b"abc"):
        with pytest.raises(ImageError, match="give a path, an array or a PIL image"):
            read_image(given)  # type: ignore[arg-type]


def test_folders_of_labels_are_read_in_order(tmp_path: Path) -> None:
    for name in ("p4m/b.png", "p4m/a.tif", "p1/deep/c.JPG", "p1/notes.txt", "loose.png", "empty/.keep"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [(label, file.name) for label, file in images_in(tmp_path)]
    assert found == [("p1", "c.JPG"), ("p4m", "a.tif"), ("p4m", "b.png")]
