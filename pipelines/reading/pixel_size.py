"""The length that a pixel spans: from a file, or as a user writes it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from ...hierarchy import HierError

METRES = {"pm": 1e-12, "A": 1e-10, "nm": 1e-9, "um": 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0}
SPELLINGS = {"å": "A", "ångström": "A", "angstrom": "A", "angstroms": "A", "ang": "A", "µm": "um", "μm": "um",
             "micron": "um", "microns": "um", "micrometer": "um", "micrometre": "um", "nanometer": "nm",
             "nanometre": "nm", "\\u00b5m": "um", "\\u00c5": "A", "metre": "m", "meter": "m", "picometer": "pm",
             "picometre": "pm", "millimeter": "mm", "millimetre": "mm", "[n_m]": "nm", "n_m": "nm", "[p_m]": "pm",
             "p_m": "pm", "[u_m]": "um", "u_m": "um"}  # fmt: skip
SHOWN = {"A": "Å", "um": "µm"}
LEAST, MOST = 1e-12, 1e-3  # m: a file that says that a pixel spans less or more is not believed
SQUARE = 0.01  # relative difference of a pixel's sides below which it is square
LONGEST = 16.0  # times as long as wide: pixels that are longer are not believed


@dataclass(frozen=True)
class PixelSize:
    """One pixel spans `value` `unit`; units are pm, A, nm, um, mm, cm and m."""

    value: float
    unit: str

    def __str__(self) -> str:
        return f"{self.value:g} {shown(self.unit)}"


@dataclass(frozen=True)
class Oblong(PixelSize):
    """A pixel as a file has it, `value` wide and `aspect` times as high: see `squared`."""

    aspect: float = 1.0


def shown(unit: str) -> str:
    """A unit as it is printed: Å and µm."""
    return SHOWN.get(unit, unit)


def unit_named(text: str) -> str | None:
    """The unit that files or users mean by `text`; None for one that is not of length."""
    plain = text.strip()
    if plain in METRES:
        return plain
    return SPELLINGS.get(plain.lower())


def pixel_size_from(value: float, unit: str) -> PixelSize | None:
    """The pixel size that a file states: None for another kind of unit, or a length from outside `LEAST` to `MOST`.

    Metres become the unit in which the number is easiest to read, since files of instruments are in SI units.
    """
    name = unit_named(unit)
    if name is None or not LEAST * 0.999 <= value * METRES[name] <= MOST * 1.001:  # false for nan as well
        return None
    if name == "m":
        name = next((u for u in ("nm", "um", "mm") if value / METRES[u] < 1000), "m")
        value /= METRES[name]
    return PixelSize(float(f"{value:.7g}"), name)  # beyond seven figures stands the rounding of 32-bit floats


def from_sides(x: float, x_unit: str, y: float, y_unit: str) -> PixelSize | None:
    """The size of a pixel from its sides, each with its unit: `Oblong` where they differ by more than `SQUARE`."""
    units = [unit_named(unit) for unit in (x_unit, y_unit)]
    size = pixel_size_from(abs(x), x_unit)
    if units[0] is None or units[1] is None or size is None:
        return None
    wide, high = abs(x) * METRES[units[0]], abs(y) * METRES[units[1]]
    if abs(wide - high) <= SQUARE * max(wide, high):
        return size
    return Oblong(size.value, size.unit, high / wide) if 1 / LONGEST <= high / wide <= LONGEST else None


def parse_pixel_size(text: str) -> PixelSize:
    """A pixel size as users write it: ``0.02nm``, ``12.5 pm``, ``1e-3 um``. Raises HierError.

    >>> parse_pixel_size("0.2 Å")
    PixelSize(value=0.2, unit='A')
    """
    match = re.fullmatch(r"\s*([0-9.]+(?:[eE][-+]?[0-9]+)?)\s*([^\W\d]+)\s*", text)
    unit = unit_named(match[2]) if match else None
    try:
        value = float(match[1]) if match else 0.0
    except ValueError:
        value = 0.0
    if unit is None or value <= 0 or not math.isfinite(value):
        raise HierError(f"--pixel-size {text}: give a length such as 0.02nm; units are pm, A, nm, um, mm, cm and m")
    return PixelSize(value, unit)
