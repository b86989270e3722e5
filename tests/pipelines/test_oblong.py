"""Pixels that a file says are not square."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hier.datasets import PatternDataset
from hier.pipelines.reading.images import open_picture
from hier.pipelines.reading.picture import Reading
from hier.pipelines.reading.pixel_size import PixelSize

H, W = 40, 56
y, x = np.mgrid[:H, :W]
GREY = np.rint(20000 + 8000 * np.sin(x / 4 + 0.3) + 6000 * np.cos(y / 5) + 90 * x).astype(np.uint16)


@pytest.mark.parametrize(("high", "wide", "shape"), [(0.02, 0.01, (2 * H, W)), (0.01, 0.02, (H, 2 * W))])
def test_oblong_pixels_are_made_square(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, high: float, wide: float, shape: tuple[int, int]
) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["image"] = GREY
        file["image"].attrs["element_size_um"] = [1.0, high, wide]
    found = open_picture(tmp_path / "a.h5")
    assert found.pixel_size == PixelSize(0.01, "um")
    assert found.array.shape == shape
    assert found.array.dtype == GREY.dtype
    assert (found.array.min() >= GREY.min()) & (found.array.max() <= GREY.max())
    # a plane stays one, but for the range at its edges
    step = (shape[0] // H, shape[1] // W)
    means = found.array.astype(float).reshape(H, step[0], W, step[1]).mean((1, 3))
    assert abs(means - GREY)[3:-3, 3:-3].max() < 0.02 * np.ptp(GREY.astype(float))
    assert f"a.h5: its pixels are {wide:g} µm wide and {high / wide:.3g} times as high" in caplog.text
    assert f"{shape[1]} x {shape[0]} square ones" in caplog.text
    asked = open_picture(tmp_path / "a.h5", Reading.of(pixel_size="5nm"))  # whose word counts more than the file's
    assert (asked.array == GREY).all()


def test_pixels_too_long_to_be_believed_are_taken_as_they_are(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["image"] = GREY
        file["image"].attrs["element_size_um"] = [1.0, 0.01, 1.0]
    found = open_picture(tmp_path / "a.h5")
    assert found.pixel_size is None
    assert (found.array == GREY).all()


def test_a_lattice_in_oblong_pixels_is_that_of_the_specimen(tmp_path: Path) -> None:
    """Every other line of a scan is left out: what is square in the specimen is square in the answer."""
    import hier

    image = PatternDataset("atoms", 3, 256, groups=("p4m",), cells=(20, 30)).batch([0])[0, 0].numpy()
    tifffile.imwrite(tmp_path / "a.tif", np.rint(255 * image[::2]).astype(np.uint8), resolution=(2e8, 1e8),
                     resolutionunit="CENTIMETER")  # fmt: skip
    (found,) = hier.load().predict(tmp_path / "a.tif")
    assert found.group == "p4m"
    assert found.pixel_size == PixelSize(0.05, "nm")
    np.save(tmp_path / "a.npy", image[::2])
    (unknown,) = hier.load(rectify="none").predict(tmp_path / "a.npy")
    assert unknown.group != "p4m"
