"""The straightened image as a file: floats, and the pixel size where it is known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...hierarchy import HierError
from ...hierarchy.files import output
from ..marks import SOFTWARE
from ..reading.pixel_size import SHOWN as UNITS
from ..reading.pixel_size import PixelSize

if TYPE_CHECKING:
    from .results import Prediction

SUFFIXES = (".tif", ".tiff")


def write(found: Prediction, path: Path) -> bool:
    """Write the straightened image to an OME-TIFF of 32-bit floats in [0, 1]; whether there was anything to straighten.

    Grey images have one channel. HierError for another suffix, or when it cannot be written.
    """
    import tifffile

    if path.suffix.lower() not in SUFFIXES:
        raise HierError(f"--corrected {path}: give a name that ends in .tif")
    if found.source is None or found.source.straight is None:
        return False
    pixels = found.source.read().permute(1, 2, 0).contiguous().numpy()
    if np.array_equal(pixels[..., :1].repeat(3, -1), pixels):
        pixels = pixels[..., 0]
    colour = pixels.ndim == 3
    with output(path) as file:
        tifffile.imwrite(
            file, pixels, photometric="rgb" if colour else "minisblack", software=SOFTWARE, ome=True,
            metadata={"axes": "YXS" if colour else "YX"} | _lengths(found.pixel_size),
        )  # fmt: skip
    return True


def _lengths(pixel: PixelSize | None) -> dict[str, float | str]:
    """The pixel size as OME-TIFF has it."""
    if pixel is None:
        return {}
    unit = UNITS.get(pixel.unit, pixel.unit)
    return {
        "PhysicalSizeX": pixel.value, "PhysicalSizeXUnit": unit,
        "PhysicalSizeY": pixel.value, "PhysicalSizeYUnit": unit,
    }  # fmt: skip
