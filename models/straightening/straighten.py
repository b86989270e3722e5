"""Which field straightens an image, if any does: the simplest under which its cells agree with each other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .families import BARREL, FAMILIES, PERSPECTIVE, POLYNOMIAL, SCAN, SMOOTH, STRAIGHT, Family
from .fit import cross_validated
from .matching import Lattice, Matcher
from .search import apart, in_parts, tilted
from .tracking import State, blurs, grown, other, rounds

ENOUGH, SURELY = 0.06, 0.9  # px of error, and agreement of cells, with which nothing further is tried
NEGLIGIBLE = 0.02  # of a perspective parameter: an image so little tilted may as well be straight
TILTED = 0.12  # one that a straight lattice cannot explain
ALIKE = 0.004  # agreements that differ by less are equal
SEEN, PARTS = 0.2, 4  # least level of a part's lattice, and of how many different ones is tried
HELPS = 0.05  # merit that a tilt has to gain
HOPELESS = 0.25  # merit of the best start, of the whole and of its parts, below which there is no lattice
SIMPLE = (BARREL, SCAN, POLYNOMIAL, SMOOTH)
VISIBLE, LESS = 0.15, 0.7  # px of error from which an image may be bent, and share of it that a field has to leave
FOCAL = 1.2  # focal length relative to the longer side, unless told: 45 degrees in view


@dataclass(frozen=True)
class Field:
    """A field that straightens an image of `width` x `height` px, and how well it does.

    `parameters` are the family's, on points in units of `unit` px from the middle. `error` and `error_se` are the
    cross-validated error of the displacement and its standard error, px; `agreement` is the correlation of the cells
    with each other, 1 at best. `lattice` is that of the straight plane, in the same unit.
    """

    family: Family
    parameters: Tensor
    lattice: Lattice
    error: float
    error_se: float
    agreement: float
    width: int
    height: int

    @property
    def unit(self) -> float:
        """Half the geometric mean of the sides, px."""
        return math.sqrt(self.width * self.height) / 2

    @property
    def kind(self) -> str:
        """Name of the family."""
        return self.family.name

    def strain(self) -> float:
        """Root mean square over the image of how much the field stretches one direction more than the other.

        It is the square root of the ratio of the principal stretches, less 1; perspective's own includes no tilt.
        """
        t = torch.linspace(-0.9, 0.9, 13)
        z = torch.stack(torch.meshgrid(t * self.width, t * self.height, indexing="xy"), -1).reshape(-1, 2)
        z, step = (z / (2 * self.unit)).to(self.parameters), 1e-2
        columns = [
            (self.family.apply(z + e, self.parameters) - self.family.apply(z - e, self.parameters)) / (2 * step)
            for e in step * torch.eye(2).to(z)
        ]
        stretch = torch.linalg.svdvals(torch.stack(columns, -1))
        ratio = (stretch[:, 0] / stretch[:, 1].clamp_min(1e-3)).sqrt() - 1
        return float(ratio.square().mean().sqrt())

    def tilt(self, focal: float = FOCAL) -> tuple[float, float]:
        """Tilt of a perspective and its direction, degrees, for a `focal` length relative to the longer side.

        The direction is that in which the plane recedes, counter-clockwise from the image's horizontal.
        """
        x, y = self.parameters.tolist()
        steep = math.hypot(x, y) * focal * max(self.width, self.height) / self.unit
        return math.degrees(math.atan(steep)), math.degrees(math.atan2(-y, x)) % 360


@dataclass(frozen=True)
class _Attempt:
    state: State
    error: float
    error_se: float
    agreements: Tensor

    @property
    def agreement(self) -> float:
        return float(self.agreements.mean())

    @property
    def enough(self) -> bool:
        return self.error < ENOUGH and self.agreement > SURELY


@torch.inference_mode()
def straightened(
    image: Tensor, families: Sequence[Family] = FAMILIES, basis: Tensor | None = None
) -> Field | None:  # fmt: skip
    """The field of an image (C, H, W), any range; None where no lattice is found anywhere.

    Fields are compared by how well each cell agrees with the average of the others; of those that do so equally well
    the simplest is taken. Only `families` are tried. If a lattice `basis` (2, 2) px is given, the image is known to be
    a pattern, and the answer is None at once where neither a tilt nor a simple field helps.
    """
    matcher = Matcher(image)
    starts = tilted(image)
    best_merit = max(s.merit for s in starts)
    if best_merit < HOPELESS and max(s.merit for s in in_parts(image)) < HOPELESS:
        return None
    if basis is not None and best_merit < starts[0].merit + HELPS and not _bends(matcher, basis):
        return None
    begun = []
    for start in apart(starts):
        sigmas = blurs(start.lattice.side * matcher.unit)
        state = rounds(matcher, State(PERSPECTIVE, start.tilt, start.lattice), sigmas[:2])
        begun.append((float(_agreements(matcher, state, sigmas[1]).mean()), state))
    state = max(begun, key=lambda pair: pair[0])[1]
    state = rounds(matcher, state, blurs(state.lattice.side * matcher.unit)[2:])
    if state.found is None:  # not even a first round gave a lattice
        return None
    simple = [f for f in (PERSPECTIVE, STRAIGHT, BARREL, SCAN) if f in families]
    if float(state.c.norm()) > TILTED and PERSPECTIVE in families:
        simple.remove(STRAIGHT)
    tried = list(_attempts(matcher, state, simple))
    if not tried:
        return None
    best = max(tried, key=lambda a: a.agreement)
    free = [f for f in (POLYNOMIAL, SMOOTH) if f in families]
    if free and not best.enough:
        tried += _from_parts(matcher, image, free)
        if not any(a.enough for a in tried):
            tried += _attempts(matcher, best.state, free)
    return _chosen(tried, image)


@torch.inference_mode()
def bends(image: Tensor, basis: Tensor) -> bool:
    """Whether an image (C, H, W) deviates from its lattice `basis` (2, 2) px as a simple field would have it.

    From one round of measuring, which takes far less time than `straightened`.
    """
    return _bends(Matcher(image), basis)


def _bends(matcher: Matcher, basis: Tensor) -> bool:
    image = matcher.image
    lattice = Lattice(basis.to(image) / matcher.unit, basis.new_zeros(2).to(image))
    state = State(STRAIGHT, image.new_zeros(0), lattice)
    found = rounds(matcher, state, blurs(lattice.side * matcher.unit)[2:3]).found if state.sound else None
    if found is None:
        return False

    def error(family: Family) -> float:
        return matcher.unit * cross_validated(found, family, image.new_zeros(family.size), lattice.side)[0]

    plain = error(STRAIGHT)
    return plain > VISIBLE and any(error(family) < LESS * plain for family in SIMPLE)


def _agreements(matcher: Matcher, state: State, sigma: float = 1.0) -> Tensor:
    return matcher.agreement(state.family.apply(matcher.points, state.c), state.lattice, sigma)


def _attempts(matcher: Matcher, state: State, families: Sequence[Family]) -> Iterator[_Attempt]:
    """One after the other, each from the best so far, until one is good enough."""
    best: _Attempt | None = None
    side = state.lattice.side * matcher.unit
    for family in families:
        begin = other(state if best is None else best.state, family)
        if not begin.sound:
            continue
        sigmas = (*blurs(side)[1:], *((1.0, 1.0) if family is SMOOTH else ()))
        found = rounds(matcher, begin, sigmas)
        if found.found is None:
            continue
        error, se = cross_validated(found.found, family, found.c, found.lattice.side)
        made = _Attempt(found, matcher.unit * error, matcher.unit * se, _agreements(matcher, found))
        yield made
        if best is None or made.agreement > best.agreement:
            best = made
        if made.enough and (family is not PERSPECTIVE or float(found.c.norm()) > NEGLIGIBLE):
            return


def _from_parts(matcher: Matcher, image: Tensor, families: Sequence[Family]) -> Iterator[_Attempt]:
    """From the lattices of parts, of different sizes, until one is good enough."""
    sizes: list[float] = []
    for start in in_parts(image):
        side = start.lattice.side
        if start.level < SEEN or any(0.85 < side / s < 1.15 for s in sizes) or len(sizes) == PARTS:
            continue
        sizes.append(side)
        made = list(_attempts(matcher, grown(matcher, start.lattice), families))
        yield from made
        if any(a.error < 2 * ENOUGH and a.agreement > 0.85 for a in made):
            return


def _chosen(tried: Sequence[_Attempt], image: Tensor) -> Field:
    """The simplest of those under which the cells agree as well as under any, up to a standard error."""
    best = max(tried, key=lambda a: a.agreement)
    order = {family.name: k for k, family in enumerate(FAMILIES)}
    for found in sorted(tried, key=lambda a: (order[a.state.family.name], -a.agreement)):
        worse = best.agreements - found.agreements
        if float(worse.mean()) <= ALIKE + float(worse.std()) / len(worse) ** 0.5:
            break
    state = found.state
    return Field(
        state.family, state.c, state.lattice, found.error, found.error_se, found.agreement,
        image.shape[-1], image.shape[-2],
    )  # fmt: skip
