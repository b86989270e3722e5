"""Bent, tilted and drifting images: straightened where that helps, and judged on every lattice in reach.

After a linear distortion that nobody knows the metric is no evidence: a square and a rhombus are the same. Which
operations the *content* has is evidence still. So an image is looked at as it is and stretched to each near lattice
of a higher kind; where the content then has an operation that only that lattice allows, the stretch is taken out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from ...hierarchy import GROUP_NAMES, HierError, UnknownNameError, group
from ...hierarchy.relations import is_subgroup
from ...models.classifier import Answer, Classifier
from ...models.evidence.batches import on_cpu
from ...models.evidence.crops import View, best_view
from ...models.evidence.groups import ORDERS
from ...models.evidence.representation import STRAIN
from ...models.straightening.families import FAMILIES, PERSPECTIVE, SMOOTH, STRAIGHT
from ...models.straightening.matching import Lattice
from ...models.straightening.metric import Near, near, upright
from ...models.straightening.resample import Rectified, rectified
from ...models.straightening.straighten import FOCAL, Field, bends, straightened

Mode = Literal["auto", "none", "affine", "perspective", "smooth"]
Metric = Literal["auto", "known", "unknown"]
MODES, METRICS = get_args(Mode), get_args(Metric)
TRIED = {"auto": FAMILIES, "perspective": (STRAIGHT, PERSPECTIVE), "smooth": (STRAIGHT, SMOOTH)}
SIDE = 320  # px: geometric mean of the sides at which a field is looked for
CLEAR, FAIR = 0.955, 0.85  # level of a lattice from which an image counts as straight, and from which it may be so
RAISED = 0.35  # of what a level lacks: so much straightening has to give it
AGREE = 0.5  # least agreement of the cells under a field that is believed
FOCAL_UNKNOWN = 0.12  # strain that a perspective may leave whose focal length is not known
LEAST, MOST = 0.02, 0.15  # strain that another field leaves: what it stretches itself, within these
ANY = 0.5  # strain up to which a lattice may be stretched if the metric is unknown
HOLDS = 0.65  # least probability with which a group on a stretched lattice counts


def metric_change(strain: float | None) -> float:
    """The change of the metric, relative to the cell's area, by which a classifier lets a group be off at a `strain`.

    At most `STRAIN`, which it is for None. HierError for a strain that is not above 0, or above `ANY`.
    """
    if strain is not None and not 0 < strain <= ANY:
        raise HierError(f"strain = {strain}: give a number above 0, and at most {ANY}: 0.1 for 10 %")
    return STRAIN if strain is None else min(STRAIN, 4 * strain)


def taken_out(strain: float | None) -> float | None:
    """The strain that is taken out of images, None for what a classifier allows for by itself."""
    return None if strain is None or 4 * strain <= STRAIN else strain


@dataclass(frozen=True)
class Distortion:
    """How distortions are dealt with: `mode` and `metric` as of `--rectify` and `--metric`, `strain` as of `--strain`.

    `focal` is the focal length relative to the image's longer side. UnknownNameError or HierError for other values.
    """

    mode: Mode = "auto"
    metric: Metric = "auto"
    strain: float | None = None
    focal: float | None = None

    def __post_init__(self) -> None:
        for what, value, known in (("rectification", self.mode, MODES), ("metric", self.metric, METRICS)):
            if value not in known:
                raise UnknownNameError(what, value, known)
        if self.focal is not None and not 0 < self.focal < math.inf:
            raise HierError(f"focal = {self.focal}: give the focal length relative to the image's longer side, above 0")

    def allowed(self, field: Field | None) -> float:
        """The strain that may be taken out of an image that `field` straightens."""
        if self.strain is not None:
            return self.strain
        if self.metric == "unknown":
            return ANY
        if self.metric == "known" or field is None or field.family is STRAIGHT:
            return 0.0
        if field.family is PERSPECTIVE:
            return 0.0 if self.focal is not None else FOCAL_UNKNOWN
        return min(MOST, max(LEAST, field.strain()))


@dataclass(frozen=True)
class Possible:
    """A `group` that remains possible, with the `probability` it has on a `lattice` of that kind.

    Lengths are stretched by the factor `stretch` along `direction` (degrees, counter-clockwise from the horizontal) for
    it: 1 as it is. `strain` is the same as a change of lengths at constant area.
    """

    group: str
    probability: float
    lattice: str
    stretch: float
    direction: float
    strain: float

    def __str__(self) -> str:
        """In words.

        >>> str(Possible("p4m", 0.9, "square", 1.06, 31.2, 0.03))
        'p4m if stretched by 6.0 % along 31 degrees'
        """
        if self.strain == 0:
            return f"{self.group} as it is"
        return f"{self.group} if stretched by {100 * (self.stretch - 1):.1f} % along {self.direction:.0f} degrees"


@dataclass(frozen=True)
class FieldFound:
    """What straightened an image: `kind`, and the `error` that is left, px, with its standard error `error_se`.

    The error is that of the displacement in windows that the fit did not see. `agreement` is the correlation of the
    image's cells with each other, `strain` how much the field stretches in the mean. `tilt` and `direction`, degrees,
    are a perspective's at the focal length `focal` (relative to the longer side). `parameters` belong to points in
    units of `unit` px from the middle, see `models.straightening.families`; `linear` is applied after them.
    """

    kind: str
    error: float
    error_se: float
    agreement: float
    strain: float
    tilt: float | None
    direction: float | None
    focal: float | None
    parameters: tuple[float, ...]
    unit: float
    linear: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, found: Rectified, how: Distortion) -> FieldFound:
        """The field of a straightened image."""
        f, focal = found.field, FOCAL if how.focal is None else how.focal
        tilted = f.family is PERSPECTIVE
        tilt, direction = f.tilt(focal) if tilted else (None, None)
        return cls(
            f.kind, f.error, f.error_se, f.agreement, f.strain(), tilt, direction, focal if tilted else None,
            tuple(f.parameters.tolist()), f.unit, tuple(tuple(row) for row in found.linear.tolist()),
        )  # fmt: skip

    def __str__(self) -> str:
        """In words."""
        kind = "straight" if self.kind == "none" else self.kind
        tilt = "" if self.tilt is None else f", tilt {self.tilt:.1f} degrees towards {self.direction:.0f}"
        return f"{kind}{tilt}, error {self.error:.2f} +- {self.error_se:.2f} px"


@dataclass(frozen=True)
class Judged:
    """The answer to a straightened image, a batch of one: its view, how it was made, and what else is possible."""

    rectified: Rectified
    view: View
    answer: Answer
    possible: tuple[Possible, ...]


@torch.inference_mode()
def judged(
    classifier: Classifier, image: Tensor, seen: Answer, k: int, scale: float, how: Distortion, **asked: Any
) -> Judged | None:
    """The answer to `image` (3, H, W) straightened, if that repeats better or makes operations hold; else None.

    `seen` is the answer to it as it is, number `k` of a batch, from a view in which a px spans `scale` px; `asked` is
    what else the classifier is asked for.
    """
    if how.mode == "none":
        return None
    assert seen.lattice is not None
    level, periodic = float(seen.lattice.level[k]), float(seen.pattern[k]) >= 0.5
    basis = scale * seen.lattice.basis[k].cpu()
    fields = []
    if how.mode != "affine" and not (how.mode == "auto" and level >= CLEAR and periodic):
        fields.append(_field(image, how, basis if periodic else None, level))
    if how.allowed(None) > 0:
        fields.append(_as_it_is(image, basis))
    for field in fields:
        if field is None:
            continue
        made = _every(classifier, image, field, how, **asked)
        if not made or made[0][0] is not None:
            continue
        plain = made[0][1]
        assert plain.answer.lattice is not None
        if field.family is not STRAIGHT:
            raised = float(plain.answer.lattice.level[0]) > level + RAISED * (1 - level)
            if not raised or float(plain.answer.pattern[0]) < 0.5:
                continue
        best, possible = _decided(classifier, made)
        if field.family is not STRAIGHT or best is not plain or len(possible) > 1:
            return replace(best, possible=possible)
    return None


def _every(
    classifier: Classifier, image: Tensor, field: Field, how: Distortion, **asked: Any
) -> list[tuple[Near | None, Judged]]:
    """The answers to an image that `field` makes straight, first as it is, then on each lattice in reach."""
    base = _upright(field, how)
    choices = [(None, base), *((n, n.linear @ base) for n in _within(field, base, how))]
    made = [(other, _answered(classifier, image, field, linear, **asked)) for other, linear in choices]
    return [(other, found) for other, found in made if found is not None]


def _field(image: Tensor, how: Distortion, basis: Tensor | None, level: float) -> Field | None:
    """The field of an image, found on a smaller copy of a large one; None if none but a lattice was found.

    Of an image that is a pattern as it is, the lattice has a `basis` px and a `level`.
    """
    _, height, width = image.shape
    share = min(1.0, SIDE / math.sqrt(height * width))
    small = image
    if share < 1:
        size = (max(1, round(height * share)), max(1, round(width * share)))
        small = F.interpolate(image[None], size, mode="bilinear", antialias=True)[0]
    known = basis * share if basis is not None and how.mode == "auto" else None
    if known is not None and level >= FAIR and not bends(small, known):
        return None
    found = straightened(small, TRIED[how.mode], known)
    if found is None or found.family is STRAIGHT or found.agreement < AGREE:
        return None
    return replace(
        found, parameters=found.parameters.cpu(), error=found.error / share, error_se=found.error_se / share,
        width=width, height=height,
    )  # fmt: skip


def _as_it_is(image: Tensor, basis: Tensor) -> Field:
    _, height, width = image.shape
    basis = basis / (math.sqrt(height * width) / 2)
    return Field(STRAIGHT, torch.zeros(0), Lattice(basis, torch.zeros(2)), 0.0, 0.0, 1.0, width, height)


def _upright(field: Field, how: Distortion) -> Tensor:
    if field.family is not PERSPECTIVE:
        return torch.eye(2)
    tilt, _ = field.tilt(FOCAL if how.focal is None else how.focal)
    return upright(field.parameters.cpu(), math.tan(math.radians(tilt)))


def _within(field: Field, base: Tensor, how: Distortion) -> list[Near]:
    most = how.allowed(field)
    return near(base @ field.lattice.basis.cpu(), most) if most > 0 else []


def _answered(classifier: Classifier, image: Tensor, field: Field, linear: Tensor, **asked: Any) -> Judged | None:
    found = rectified(image, field, linear)
    if found is None:
        return None
    view = best_view(found.image, classifier.device)
    lattice = view.lattice
    answer = on_cpu(classifier.answer(view.pixels[None], lattice=lattice, **asked))
    return Judged(found, view, answer, ())


def _decided(classifier: Classifier, made: list[tuple[Near | None, Judged]]) -> tuple[Judged, tuple[Possible, ...]]:
    """The answer to give, that of the largest group that holds, and all that are possible, the given one first."""
    labels = classifier.labels
    best, chosen, said = made[0][1], -1, dict[str, Possible]()
    kinds = {other.kind for other, _ in made if other is not None and 4 * other.strain <= STRAIN}
    for other, found in made:
        k = int(found.answer.winners[0])
        name, p = labels[k], float(found.answer.log_probabilities[0, k].exp())
        if other is None:
            said[name] = Possible(name, p, "", 1.0, 0.0, 0.0)
            # a lattice that is nearly of the kind that the group needs is judged as that, in its turn
            chosen = -1 if name in GROUP_NAMES and any(_needs(name, kind) for kind in kinds) else _order(name)
            continue
        if p < HOLDS or float(found.answer.pattern[0]) < 0.5 or name not in GROUP_NAMES or not _needs(name, other.kind):
            continue
        said.setdefault(name, Possible(name, p, other.kind, other.ratio, other.direction, other.strain))
        if _order(name) > chosen:
            best, chosen = found, _order(name)
    given = labels[int(best.answer.winners[0])]
    # what lies between the given group and the image as it is goes without saying
    told = [s for s in said.values() if s.group == given or s.strain == 0 or not is_subgroup(s.group, given)]
    return best, tuple(sorted(told, key=lambda s: (s.group != given, s.strain)))


def _order(name: str) -> int:
    return ORDERS[GROUP_NAMES.index(name)] if name in GROUP_NAMES else 0


def _needs(name: str, kind: str) -> bool:
    """Whether a group's lattice has to be of that kind."""
    known = group(name)
    if known.lattice_system == "rectangular":
        return kind == ("rhombic" if known.centred else "rectangular")
    return known.lattice_system == kind
