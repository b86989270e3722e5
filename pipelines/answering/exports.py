"""What other programs take further: the averaged cell, its structure factors, and the plane group with its cell.

All three are about the origin and in the conventional cell of the group that was found, as International Tables have
them and as the table's row of that group says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...hierarchy import GROUP_NAMES, HierError, group
from ...hierarchy.files import output
from ...hierarchy.layers import layer_groups
from ...hierarchy.names import on_screen
from ...models.placing.cells import averaged_cell, symmetrised_cell
from ...models.residuals.plan import plan
from ..drawing.symbols import Array
from ..marks import SOFTWARE, UNREAD
from ..reading.pixel_size import METRES, SHOWN
from .cells import EQUAL, NEEDED
from .figure import seen
from .table import measured, rows_of
from .words import with_su

if TYPE_CHECKING:
    from .results import Prediction

# Space groups that move nothing along c, in the order of GROUP_NAMES, with c along the layer's normal (International
# Tables A): numbers and symbols.
SPACE_GROUPS = (
    (1, "P 1"), (3, "P 1 1 2"), (6, "P m 1 1"), (7, "P b 1 1"), (8, "C m 1 1"), (25, "P m m 2"), (28, "P m a 2"),
    (32, "P b a 2"), (35, "C m m 2"), (75, "P 4"), (99, "P 4 m m"), (100, "P 4 b m"), (143, "P 3"), (156, "P 3 m 1"),
    (157, "P 3 1 m"), (168, "P 6"), (183, "P 6 m m"),
)  # fmt: skip
BEYOND = 10.0  # angstrom: c of a CIF, which an image does not have


@dataclass(frozen=True)
class Reflection:
    """A structure factor about the group's origin: sum of the cell times exp(+2 pi i (h x + k y)), phase in degrees."""

    h: int
    k: int
    amplitude: float
    phase: float
    sigma: float


@dataclass(frozen=True)
class GroupCell:
    """The conventional cell of the group found, or asked for: `basis` (2, 2) and `origin` (2,) in px of the image."""

    group: str
    basis: Array
    origin: Array
    reflections: tuple[Reflection, ...]


def group_cell(found: Prediction) -> GroupCell | None:
    """The cell and the reflections above the noise of a prediction; None where no group was found, nor asked for.

    Of colours the strongest component is taken; a grey image has no other. HierError for a group that was asked for and
    whose metric the lattice has not.
    """
    chosen = found.shown_group
    made = measured(found) if chosen in GROUP_NAMES else None
    if made is None or chosen is None:
        return None
    row = rows_of(made, found)[GROUP_NAMES.index(chosen)]
    if row.a is None or row.b is None or row.origin is None:
        if found.fares is not None:
            raise HierError(f"{found.file}: no cell or reflections of {chosen}, as asked: {row.reason}")
        return None
    basis, origin = np.array([row.a, row.b]).T, np.array(row.origin)
    data = made.residuals.found
    hk = plan(data.values.device, data.sigma.dtype).hk.double().numpy()
    cell = np.rint(np.linalg.inv(made.scale * made.basis) @ basis)
    u = np.linalg.solve(made.scale * made.basis, origin - made.middle)
    kept = data.observed[0, 0].numpy()
    F = data.values[0, 0].numpy()[kept].conj() * np.exp(-2j * np.pi * (hk[kept] @ u))
    listed = zip(np.rint(hk[kept] @ cell).astype(int), F, data.sigma[0, 0].numpy()[kept], strict=True)
    made_of = [
        Reflection(int(h), int(k), float(abs(f)), float(np.degrees(np.angle(f))), float(s))
        for (h, k), f, s in listed if h > 0 or (h == 0 and k > 0)
    ]  # fmt: skip
    return GroupCell(chosen, basis, origin, tuple(sorted(made_of, key=lambda r: (r.h, r.k))))


def write_cell(found: Prediction, path: Path) -> bool:
    """Write the averaged and the symmetrised cell, in floats, to a .tif of two pages or a .npy; whether there was one.

    (2, N, N), or (2, N, N, 3) in colour: rows run along b and columns along a. HierError when it cannot be written.
    """
    import tifffile

    cell = group_cell(found)
    if cell is None or found.symmetry is None:
        return False
    averaged = averaged_cell(seen(found), cell.basis, cell.origin - np.array(found.symmetry.view[:2]))
    both = torch.stack([averaged, symmetrised_cell(averaged, group(cell.group).operations)])
    pixels = both.permute(0, 3, 2, 1).contiguous().numpy()
    if np.allclose(pixels[..., :1], pixels, atol=1e-6):
        pixels = pixels[..., 0]
    with output(path) as file:
        if path.suffix.lower() == ".npy":
            np.save(file, pixels)
            with file.open("ab") as end:
                end.write(UNREAD)
            return True
        colour = pixels.ndim == 4
        tifffile.imwrite(
            file, pixels, photometric="rgb" if colour else "minisblack", software=SOFTWARE, ome=True,
            metadata={
                "axes": "ZYXS" if colour else "ZYX",
                "Name": f"{cell.group}{_as_asked(found)}: averaged, symmetrised",
            }
            | _steps(found, cell, pixels.shape[1]),
        )  # fmt: skip
    return True


def write_hkl(found: Prediction, path: Path) -> bool:
    """Write h, k, amplitude, phase and its uncertainty of every reflection above the noise; whether there was a group.

    HierError when it cannot be written.
    """
    cell = group_cell(found)
    if cell is None:
        return False
    text = StringIO()
    text.write(f"# {SOFTWARE}: structure factors of {on_screen(found.file)}\n")
    symbol = f"{cell.group} ({group(cell.group).symbol})"
    text.write(f"# plane group {symbol}{_as_asked(found)}, {_lengths_in_words(found, cell)}\n")
    text.write("# F(h k) = mean of I(x y) exp(+2 pi i (h x + k y)) over the averaged cell, I in [0, 1]\n")
    text.write("# about the origin of International Tables A; the phase's uncertainty is sigma / amplitude radians\n")
    if found.asked is not None and found.asked.origin is not None:
        text.write("# the origin nearest to ({:g}, {:g}) px, as asked\n".format(*found.asked.origin))
    text.write("# h k amplitude phase/degrees sigma\n")
    for r in cell.reflections:
        text.write(f"{r.h:4d} {r.k:4d} {r.amplitude:12.7f} {r.phase:9.3f} {r.sigma:12.7f}\n")
    _write(path, text.getvalue())
    return True


def write_cif(found: Prediction, path: Path) -> bool:
    """Write the plane group as a layer with its cell and reflections to a .cif; whether there was a group.

    The cell has the metric of the group; c stands along the normal and means nothing. HierError where the size of a
    pixel is not known, as a CIF is in angstroms.
    """
    if found.shown_group in GROUP_NAMES and found.pixel_size is None:
        raise HierError(f"--cif {path}: a CIF is in angstroms, and {found.file} has no pixel size: give --pixel-size")
    cell = group_cell(found)
    if cell is None or found.pixel_size is None:
        return False
    angstroms = found.pixel_size.value * METRES[found.pixel_size.unit] / METRES["A"]
    _write(path, _cif(found, cell, angstroms))
    return True


WRITERS: dict[str, tuple[Callable[[Prediction, Path], bool], tuple[str, ...]]] = {
    "--cell": (write_cell, (".tif", ".tiff", ".npy")),
    "--hkl": (write_hkl, (".hk",)),
    "--cif": (write_cif, (".cif",)),
}


def check_names(outputs: Mapping[str, Path | None]) -> None:
    """HierError for a file of one of `WRITERS` whose suffix is not one that its option writes."""
    for option, (_, suffixes) in WRITERS.items():
        path = outputs.get(option)
        if path is not None and path.suffix.lower() not in suffixes:
            known = " or ".join(s for s in suffixes if s != ".tiff")
            raise HierError(f"{option} {path}: give a name that ends in {known}")


def _cif(found: Prediction, cell: GroupCell, angstroms: float) -> str:
    chosen = group(cell.group)
    number, symbol = SPACE_GROUPS[GROUP_NAMES.index(cell.group)]
    a, b, gamma = _ideal(found, cell, angstroms)
    layers = ", ".join(str(layer) for layer in layer_groups(cell.group))
    lines = [
        f"# {SOFTWARE}: plane group {cell.group} ({chosen.symbol}) of {on_screen(found.file)}{_as_asked(found)}",
        "# A plane group as a layer: c is arbitrary, and z is not known.",
        f"# Measured: {_lengths_in_words(found, cell)}; below with the metric of the group",
        f"# Layer groups with this projection: {layers}",
        f"data_{cell.group}",
        f"_cell_length_a {a}", f"_cell_length_b {b}", f"_cell_length_c {BEYOND:g}",
        "_cell_angle_alpha 90", "_cell_angle_beta 90", f"_cell_angle_gamma {gamma}",
        f"_space_group_name_H-M_alt '{symbol}'", f"_space_group_IT_number {number}",
        "loop_", "_space_group_symop_operation_xyz",
        *(f"'{op.xyz},z'" for op in chosen.operations),
        "loop_", "_refln_index_h", "_refln_index_k", "_refln_index_l", "_refln_F_meas", "_refln_F_sigma",
        "_refln_phase_meas",
        *(f"{r.h} {r.k} 0 {r.amplitude:.7f} {r.sigma:.7f} {r.phase:.3f}" for r in cell.reflections),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _ideal(found: Prediction, cell: GroupCell, angstroms: float) -> tuple[str, str, str]:
    """Lengths in angstroms and the angle, with the metric of the group, and uncertainties where they are known."""
    fit, system = found.refined, group(cell.group).lattice_system
    if fit is not None and found.pixel_size is not None:
        unit = angstroms / found.pixel_size.value
        a, a_su, b, b_su = (unit * x for x in (fit.a, fit.a_su, fit.b, fit.b_su))
        gamma, gamma_su = fit.gamma, fit.gamma_su
    else:
        (a, b), a_su, b_su, gamma_su = (angstroms * np.linalg.norm(cell.basis, axis=0)).tolist(), 0.0, 0.0, 0.0
        gamma = math.degrees(math.acos(float(cell.basis[:, 0] @ cell.basis[:, 1]) * angstroms**2 / (a * b)))
    if system in EQUAL:
        a = b = math.sqrt(a * b)
        a_su = b_su = math.hypot(a_su, b_su) / 2
    needed = NEEDED.get(system)
    angle = with_su(gamma, gamma_su) if needed is None else f"{needed:g}"
    return with_su(a, a_su), with_su(b, b_su), angle


def _as_asked(found: Prediction) -> str:
    """That the group is no answer, and what is, where a group was asked for; else nothing."""
    if found.asked is None or found.asked.group is None:
        return ""
    return f", as asked (the answer is {on_screen(found.group or found.statement)})"


def _lengths_in_words(found: Prediction, cell: GroupCell) -> str:
    if found.refined is not None:
        return str(found.refined).translate({ord("γ"): "gamma", ord("Å"): "A", ord("µ"): "u", ord("°"): " degrees"})
    a, b = (float(np.linalg.norm(v)) for v in cell.basis.T)
    gamma = math.degrees(math.acos(float(cell.basis[:, 0] @ cell.basis[:, 1]) / (a * b)))
    pixel, unit = found.pixel_size, "px"
    if pixel is not None:
        a, b, unit = a * pixel.value, b * pixel.value, pixel.unit
    return f"a = {a:.5g} {unit}, b = {b:.5g} {unit}, gamma = {gamma:.3f} degrees"


def _steps(found: Prediction, cell: GroupCell, points: int) -> dict[str, float | str]:
    """What a pixel of the cell spans along a and b, as OME-TIFF has it."""
    if found.pixel_size is None:
        return {}
    a, b = (float(np.linalg.norm(v)) * found.pixel_size.value / points for v in cell.basis.T)
    unit = SHOWN.get(found.pixel_size.unit, found.pixel_size.unit)
    return {"PhysicalSizeX": a, "PhysicalSizeXUnit": unit, "PhysicalSizeY": b, "PhysicalSizeYUnit": unit}


def _write(path: Path, text: str) -> None:
    with output(path) as file:
        file.write_text(text, encoding="utf-8")
