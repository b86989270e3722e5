"""Bent, tilted and drifting images: straightened where that helps, and judged on every lattice in reach.

After a linear distortion that nobody knows the metric is no evidence: a square and a rhombus are the same. Which
operations the *content* has is evidence still. So an image is looked at as it is and stretched to each near lattice
of a higher kind; where the content then has an operation that only that lattice allows, the stretch is taken out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...hierarchy import GROUP_NAMES, group
from ...hierarchy.relations import is_subgroup
from ...models.classifier import Answer, Classifier
from ...models.evidence.batches import on_cpu
from ...models.evidence.crops import View, best_view
from ...models.evidence.groups import ORDERS
from ...models.evidence.lattice import Lattice as Lattices
from ...models.evidence.representation import STRAIN
from ...models.straightening.doubts import bends, bends_finer
from ...models.straightening.families import FAMILIES, PERSPECTIVE, POLYNOMIAL, SMOOTH, STRAIGHT
from ...models.straightening.fields import FOCAL, Field
from ...models.straightening.metric import Near, near, upright
from ...models.straightening.plane import Lattice
from ...models.straightening.resample import Rectified, rectified
from ...models.straightening.straighten import straightened
from .options import Rectification
from .said import Possible

TRIED = {"auto": FAMILIES, "perspective": (STRAIGHT, PERSPECTIVE), "smooth": (STRAIGHT, SMOOTH)}
FREE = (POLYNOMIAL, SMOOTH)
SIDE = 320  # px: geometric mean of the sides at which a field is looked for
CLEAR, FAIR = 0.955, 0.85  # level of a lattice from which an image counts as straight, and from which it may be so
RAISED = 0.35  # of what a level lacks: so much straightening has to give it
NEARLY, FEW = 0.25, 10  # level of a finer lattice, and cells in view, with which that may be the image's but for a bend
FINER = 0.6  # share of a cell's area that a finer lattice's has at most
AGREE = 0.5  # least agreement of the cells under a field that is believed
LOWERS = 0.9  # least probability with which a free field may lower the group of an image that is periodic as it is
HOLDS = 0.65  # least probability with which a group on a stretched lattice counts


@dataclass(frozen=True)
class Judged:
    """The answer to a straightened image, a batch of one: its view, how it was made, and what else is possible."""

    rectified: Rectified
    view: View
    answer: Answer
    possible: tuple[Possible, ...]


@dataclass(frozen=True)
class Doubt:
    """Why an image may have to be straightened: what the answer to it as it is says of its lattice.

    `basis` (2, 2) px repeats with a correlation of `level`, and is a lattice surely if it is `periodic`. A `finer` one
    may be the lattice, but for a bend. `bent` tells whether a field is to be looked for, `label` which of the
    classifier's labels the answer gives.
    """

    basis: Tensor
    level: float
    periodic: bool
    finer: Tensor | None
    bent: bool
    label: int


def doubt(seen: Answer, k: int, scale: float, pixels: int, how: Rectification) -> Doubt | None:
    """What is doubted of an image of so many `pixels`, or None: it is to be answered as it is.

    `seen` is the answer to it, number `k` of a batch, from a view in which a px spans `scale` px.
    """
    if how.mode == "none":
        return None
    assert seen.lattice is not None
    level, periodic = float(seen.lattice.level[k]), float(seen.pattern[k]) >= 0.5
    basis, finer = (scale * b[k].cpu() for b in (seen.lattice.basis, seen.lattice.finer))
    few = pixels < FEW * float(basis.det().abs())
    nearly = periodic and few and float(seen.lattice.coset[k]) >= NEARLY
    bent = how.mode != "affine" and not (how.mode == "auto" and periodic and level >= CLEAR and not nearly)
    if not bent and how.allowed(None) == 0:
        return None
    return Doubt(basis, level, periodic, finer if nearly else None, bent, int(seen.winners[k]))


@torch.inference_mode()
def judged(classifier: Classifier, image: Tensor, doubted: Doubt, how: Rectification, **asked: Any) -> Judged | None:
    """The answer to `image` (3, H, W) straightened, if that repeats better or makes operations hold; else None.

    `asked` is what else the classifier is asked for.
    """
    fields = [_field(image, how, doubted)] if doubted.bent else []
    if how.allowed(None) > 0:
        fields.append(_as_it_is(image, doubted.basis))
    for field in fields:
        if field is None:
            continue
        made = _every(classifier, image, field, how, **asked)
        if not made or made[0][0] is not None:
            continue
        plain = made[0][1]
        assert plain.answer.lattice is not None
        better = float(plain.answer.pattern[0]) >= 0.5 and _raised(plain.answer.lattice, doubted)
        if field.family is not STRAIGHT and not better:
            continue
        best, possible = _decided(classifier, made)
        if field.family in FREE and doubted.periodic and _lowers(classifier, doubted, best.answer):
            continue
        if field.family is not STRAIGHT or best is not plain or len(possible) > 1:
            return replace(best, possible=possible)
    return None


def _every(
    classifier: Classifier, image: Tensor, field: Field, how: Rectification, **asked: Any
) -> list[tuple[Near | None, Judged]]:
    """The answers to an image that `field` makes straight, first as it is, then on each lattice in reach."""
    base = _upright(field, how)
    choices = [(None, base), *((n, n.linear @ base) for n in _within(field, base, how))]
    made = [(other, _answered(classifier, image, field, linear, **asked)) for other, linear in choices]
    return [(other, found) for other, found in made if found is not None]


def _raised(straight: Lattices, doubted: Doubt) -> bool:
    """Whether a straight image repeats clearly better than it did as it was."""
    now, level = float(straight.level[0]), doubted.level
    finer = float(straight.basis[0].det().abs()) < FINER * float(doubted.basis.det().abs())
    return now > level + RAISED * (1 - level) or (finer and now >= level)


def _lowers(classifier: Classifier, doubted: Doubt, straight: Answer) -> bool:
    """Whether the group of the straight image is lower than that of the image as it is, and not surely so."""
    winner = int(straight.winners[0])
    lower = _order(classifier.labels[winner]) < _order(classifier.labels[doubted.label])
    return lower and float(straight.log_probabilities[0, winner].exp()) < LOWERS


def _field(image: Tensor, how: Rectification, doubted: Doubt) -> Field | None:
    """The field of an image, found on a smaller copy of a large one; None if none but a lattice was found."""
    _, height, width = image.shape
    share = min(1.0, SIDE / math.sqrt(height * width))
    small = image
    if share < 1:
        size = (max(1, round(height * share)), max(1, round(width * share)))
        small = F.interpolate(image[None], size, mode="bilinear", antialias=True)[0]
    level, known = doubted.level, share * doubted.basis if how.mode == "auto" and doubted.periodic else None
    if known is not None and level >= FAIR:
        if not (level < CLEAR and bends(small, known)) and not (
            doubted.finer is not None and bends_finer(small, share * doubted.finer)
        ):
            return None
        known = None
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


def _upright(field: Field, how: Rectification) -> Tensor:
    if field.family is not PERSPECTIVE:
        return torch.eye(2)
    tilt, _ = field.tilt(FOCAL if how.focal is None else how.focal)
    return upright(field.parameters.cpu(), math.tan(math.radians(tilt)))


def _within(field: Field, base: Tensor, how: Rectification) -> list[Near]:
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
