"""The table of an image: how well each of the 17 groups holds, in a crystallographer's numbers, and why it is refused.

It is made when it is asked for, from the lattice and the averaged cell that the answer was found from.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import torch

from ...hierarchy import GROUP_NAMES, group
from ...models.evidence.groups import all_misfits, group_scores
from ...models.placing.operations import conventional_cell
from ...models.placing.origins import allowed_origin, central_origin
from ...models.residuals.akaike import akaike_weights, generalised_noise
from ...models.residuals.plan import SETTINGS
from ...models.residuals.scores import Residuals, residuals
from ..drawing.symbols import Array
from .symmetry import Point

if TYPE_CHECKING:
    from .results import Prediction

Verdict: TypeAlias = Literal["holds", "holds within tolerance", "refused"]
HOLDS = 1.5  # times what noise leaves, as root mean squares, up to which noise explains a residual


@dataclass(frozen=True)
class GroupRow:
    """One of the 17 groups on an image, in its best setting and about its best origin.

    `phase_deg` is the phase residual and `target_deg` what noise alone would leave of it; `amplitude_percent` the
    amplitude residual; `noise_ratio` the residual of both together relative to what noise leaves. `misfit` is 1 minus
    the correlation of the worst operation. `strain_percent` is the largest stretch of the lattice, at constant area,
    that its metric needs. `reflections` counts independent ones, `akaike_weight` is the geometric one, `probability`
    the networks'. `a` and `b` span the conventional cell and `origin` is its origin, px of the image as in
    `SymmetryFound`. Residuals are None where the strain is more than is forgiven, and `noise_ratio` for p1.
    """

    group: str
    verdict: Verdict
    reason: str
    phase_deg: float | None
    target_deg: float | None
    amplitude_percent: float | None
    noise_ratio: float | None
    misfit: float | None
    strain_percent: float
    reflections: int | None
    akaike_weight: float
    probability: float | None
    a: Point | None = None
    b: Point | None = None
    origin: Point | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Measured:
    """What a table is made from: the residuals of one image, its reduced `basis` (2, 2) and what 1 px of it spans.

    `middle` (2,) is the origin of the structure factors, in px of the image.
    """

    residuals: Residuals
    misfits: tuple[float, ...]
    basis: Array
    scale: float
    middle: Array


@torch.inference_mode()
def measured(found: Prediction) -> Measured | None:
    """The residuals of all groups on an image; None where it shows no pattern. HierError when it cannot be read."""
    if not found.periodic or found.source is None:
        return None
    analysis = found.source.analysis(lattice_of(found))
    basis = analysis.lattice.basis
    misfits = all_misfits(group_scores(analysis.structure, basis))[0].tolist()
    made = residuals(analysis.structure, basis, found.source.strain)
    return Measured(made, tuple(misfits), basis[0].double().numpy(), analysis.view.scale, analysis.middle)


def lattice_of(found: Prediction) -> Array | None:
    """A primitive basis (2, 2) px of the lattice that was answered for; None if no symmetry was asked for."""
    cell = found.symmetry or found.tried
    if cell is None:
        return None
    a, b = np.array(cell.a), np.array(cell.b)
    centred = found.symmetry is not None and group(found.symmetry.group).centred
    return np.stack([(a + b) / 2, (a - b) / 2] if centred else [a, b], 1)


def table_of(found: Prediction) -> tuple[GroupRow, ...]:
    """The rows of an image, in the order of International Tables; none where it shows no pattern."""
    made = measured(found)
    return () if made is None else rows_of(made, found)


def rows_of(made: Measured, found: Prediction) -> tuple[GroupRow, ...]:
    """The rows from what was measured, judged by the tolerance of an answer, or by how exact the answer itself is."""
    r = made.residuals
    tested = [bool(k >= 0) for k in r.setting[0]]
    ratio = (r.squares / r.expected.clamp_min(1e-24)).sqrt()[0].tolist()
    forgiven = _forgiven(made, found)
    judged = [
        _judged(name, tested[k], ratio[k], made.misfits[k], float(r.stretch[0, k]), forgiven, found)
        for k, name in enumerate(GROUP_NAMES)
    ]
    holding = [k for k, (verdict, _) in enumerate(judged) if verdict == "holds"]
    for k in range(len(GROUP_NAMES)):
        above = [GROUP_NAMES[j] for j in holding if j != k and _is_above(made, j, k)]
        if above and k not in holding:
            judged[k] = "holds", f"{above[-1]} holds, of which it is a part"
    good = torch.tensor([[verdict != "refused" for verdict, _ in judged]])
    noise = generalised_noise(r.squares, r.free, r.data, good, r.noise)
    weights = akaike_weights(r.squares, r.free, noise)[0].tolist()
    return tuple(_row(made, found, k, *judged[k], ratio[k], weights[k]) for k in range(len(GROUP_NAMES)))


def _row(
    made: Measured, found: Prediction, k: int, verdict: Verdict, reason: str, ratio: float, weight: float
) -> GroupRow:
    r, name = made.residuals, GROUP_NAMES[k]
    tested = int(r.setting[0, k]) >= 0
    a, b, origin = _place(made, k, None if found.asked is None else found.asked.origin)
    return GroupRow(
        group=name,
        verdict=verdict,
        reason=reason,
        phase_deg=float(r.phase[0, k]) if tested else None,
        target_deg=float(r.target[0, k]) if tested else None,
        amplitude_percent=100 * float(r.amplitude[0, k]) if tested else None,
        noise_ratio=ratio if tested and name != "p1" else None,
        misfit=made.misfits[k] if tested else None,
        strain_percent=max(0.0, 100 * float(r.stretch[0, k])),
        reflections=round(float(r.unique[0, k])) if tested else None,
        akaike_weight=weight,
        probability=found.groups.get(name),
        a=a,
        b=b,
        origin=origin,
    )


def _is_above(made: Measured, larger: int, smaller: int) -> bool:
    """Whether a group's setting has all operations of another's: what explains its residual explains the other's."""
    first, second = (int(made.residuals.setting[0, k]) for k in (larger, smaller))
    return first >= 0 and second >= 0 and SETTINGS[first].kinds > SETTINGS[second].kinds


def most_likely(rows: Iterable[GroupRow]) -> GroupRow:
    """The row of the highest Akaike weight."""
    return max(rows, key=lambda row: row.akaike_weight)


def _forgiven(made: Measured, found: Prediction) -> float:
    """The largest misfit that is forgiven: the tolerance, or the misfit of the answer where none is given."""
    if found.tolerance is not None:
        return found.tolerance
    return min((made.misfits[GROUP_NAMES.index(name)] for name in found.candidates if name in GROUP_NAMES), default=0.0)


def _judged(
    name: str, tested: bool, ratio: float, misfit: float, stretch: float, forgiven: float, found: Prediction
) -> tuple[Verdict, str]:
    """The verdict on a group, and why."""
    if not tested:
        return "refused", f"the lattice needs {100 * stretch:.1f} % strain"
    if name == "p1":
        return "holds", "always"
    if ratio <= HOLDS:
        return "holds", f"residual {ratio:.1f} times noise"
    said = f"misfit {misfit:.2g}, residual {ratio:.1f} times noise"
    if misfit <= forgiven:
        whose = "the answer has" if found.tolerance is None else "forgiven are"
        return "holds within tolerance", f"misfit {misfit:.2g}, {whose} {forgiven:.2g}"
    return "refused", said if found.tolerance is None else f"{said}, forgiven are {forgiven:.2g}"


def _place(made: Measured, k: int, asked: Point | None) -> tuple[Point | None, Point | None, Point | None]:
    """The conventional cell and its origin, the one nearest to what was `asked` for, px of the image."""
    index = int(made.residuals.setting[0, k])
    if index < 0:
        return None, None, None
    setting, u = SETTINGS[index], made.residuals.origin[0, k].double().numpy()
    a, b = made.scale * (made.basis @ np.array(conventional_cell(setting, made.basis))).T
    if asked is None:
        at = central_origin(setting, u, made.basis)
    else:
        at = allowed_origin(setting, u, made.basis, (np.array(asked) - made.middle) / made.scale)
    origin = made.middle + made.scale * made.basis @ at
    return (float(a[0]), float(a[1])), (float(b[0]), float(b[1])), (float(origin[0]), float(origin[1]))
