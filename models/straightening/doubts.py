"""Whether an image may be bent at all, from one round of measuring, which takes far less time than to straighten it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .families import BARREL, POLYNOMIAL, SCAN, SMOOTH, STRAIGHT, Family
from .fit import cross_validated
from .matching import Matcher
from .plane import Lattice, Measured
from .tracking import State, blurs, rounds

SIMPLE = (BARREL, SCAN, POLYNOMIAL, SMOOTH)
VISIBLE, LESS = 0.15, 0.7  # px of error from which an image may be bent, and share of it that a field has to leave
CLEARLY_LESS = 0.6  # that share where a lattice is doubted on which the image does repeat
FAR = 0.03  # of a cell's side: such an error is that of no straight lattice


@torch.inference_mode()
def bends(image: Tensor, basis: Tensor) -> bool:
    """Whether an image (C, H, W) deviates from its lattice `basis` (2, 2) px as a simple field would have it."""
    return matched_bends(Matcher(image), basis)


@torch.inference_mode()
def bends_finer(image: Tensor, basis: Tensor) -> bool:
    """Whether `basis` (2, 2) px, on which an image (C, H, W) repeats badly, is its lattice but for a bend."""
    seen = _Seen.on(Matcher(image), basis)
    plain = seen.error(STRAIGHT)
    return plain > VISIBLE and seen.error(POLYNOMIAL) < CLEARLY_LESS * plain


def matched_bends(matcher: Matcher, basis: Tensor) -> bool:
    """`bends` of an image that a matcher has already."""
    seen = _Seen.on(matcher, basis)
    plain = seen.error(STRAIGHT)
    far = plain > FAR * seen.side * matcher.unit
    return plain > VISIBLE and (far or any(seen.error(family) < LESS * plain for family in SIMPLE))


@dataclass(frozen=True)
class _Seen:
    """What one round shows of a straight lattice whose cell has a `side`, in units of `unit` px; None if nothing."""

    found: Measured | None
    side: float
    unit: float

    @classmethod
    def on(cls, matcher: Matcher, basis: Tensor) -> _Seen:
        lattice = Lattice(basis.to(matcher.image) / matcher.unit, basis.new_zeros(2).to(matcher.image))
        state = State(STRAIGHT, lattice.origin.new_zeros(0), lattice)
        found = rounds(matcher, state, blurs(lattice.side * matcher.unit)[2:3]).found if state.sound else None
        return cls(found, lattice.side, matcher.unit)

    def error(self, family: Family) -> float:
        """Cross-validated, px; 0 if nothing was seen."""
        if self.found is None:
            return 0.0
        start = self.found.at.new_zeros(family.size)
        return self.unit * cross_validated(self.found, family, start, self.side)[0]
