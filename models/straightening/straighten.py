"""Which field straightens an image, if any does: the simplest under which its cells agree with each other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from .doubts import matched_bends
from .families import BARREL, FAMILIES, PERSPECTIVE, POLYNOMIAL, SCAN, SMOOTH, STRAIGHT, Family
from .fields import Field
from .fit import cross_validated
from .matching import SCORED, Matcher
from .plane import connected
from .recurrences import recurring
from .search import Start, apart, tilted
from .tracking import State, blurs, other, rounds

ENOUGH, SURELY = 0.06, 0.9  # px of error, and agreement of cells, with which nothing further is tried
NEGLIGIBLE = 0.02  # of a perspective parameter: an image so little tilted may as well be straight
TILTED = 0.12  # one that a straight lattice cannot explain
ALIKE, ALIKE_IN_PART = 0.004, 0.03  # agreements that differ by less are equal
HELPS = 0.05  # merit that a tilt has to gain
HOPELESS = 0.25  # merit of the best tilt below which none shows a lattice
BEGUN, FOUND = 0.1, 0.3  # agreement from which a field that recurrences show is followed up, and made freer
SETTLING, SETTLED = 8, 0.002  # times two rounds of a thin plate at most, and agreement that each has to gain
CERTAIN = 0.985  # agreement with which no other lattice is tried
TRIED, UNLIKE = 2, 0.1  # lattices of a scale that are followed up, and by how much their cells' sides differ, at least
PARTS = 12  # of an image along an axis, in which it is seen how far a lattice extends
THERE = 0.4  # agreement from which a lattice is there
FEWEST, SMALL = 8, 0.06  # cells, and share of the view, that such a part has to have
PARTLY, CLEARLY = 0.5, 0.7  # agreement below which a field is none: of the whole, and of a part


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
def straightened(image: Tensor, families: Sequence[Family] = FAMILIES, basis: Tensor | None = None) -> Field | None:
    """The field of an image (C, H, W), any range; None where no lattice is found anywhere.

    Fields are compared by how well each cell agrees with the average of the others; of those that do so equally well
    the simplest is taken. Only `families` are tried. If a lattice `basis` (2, 2) px is given, the image is known to be
    a pattern, and the answer is None at once where neither a tilt nor a simple field helps.
    """
    matcher = Matcher(image)
    starts = tilted(image)
    best_merit = max(s.merit for s in starts)
    if basis is not None and best_merit < starts[0].merit + HELPS and not matched_bends(matcher, basis):
        return None
    free = [f for f in (POLYNOMIAL, SMOOTH) if f in families]
    tried = _from_tilts(matcher, starts, families) if best_merit >= HOPELESS else []
    begun: list[State] = []
    if free and not any(a.enough for a in tried):
        best = max(tried, key=lambda a: a.agreement, default=None)
        tried += _from_recurrences(matcher, free, begun)
        if best is not None and not any(a.enough for a in tried):
            tried += _attempts(matcher, best.state, free)
    if basis is None and not any(a.agreement > PARTLY for a in tried) and (part := _in_part(matcher, begun, families)):
        return part
    return _chosen(tried, image) if tried else None


def _in_part(matcher: Matcher, begun: Sequence[State], families: Sequence[Family]) -> Field | None:
    """The field of the part of an image in which cells agree best, from the states that were `begun` on all of it."""
    best: tuple[float, State, Tensor] | None = None
    for state in begun:
        agreeing = _agreements(matcher, state, scored=PARTS).reshape(PARTS, PARTS) > THERE
        within = connected(agreeing, agreeing)
        cells = 4 * float(within.float().mean()) / float(torch.linalg.det(state.lattice.basis).abs())
        if cells < FEWEST or float(within.float().mean()) < SMALL:
            continue
        worth = float(within.sum())
        if best is None or worth > best[0]:
            best = worth, state, within
    if best is None:
        return None
    _, state, within = best
    for last in (False, True):  # the first time to see how far it extends
        shown = F.interpolate(within[None, None].float(), matcher.image.shape[-2:])[0, 0]
        seen = Matcher(matcher.image, shown)
        begin = rounds(seen, state, blurs(state.lattice.side * seen.unit)[2:3])
        tried = list(_attempts(seen, begin, families))
        if not tried or max(a.agreement for a in tried) < CLEARLY:
            return None
        found = _chosen(tried, matcher.image, ALIKE_IN_PART)
        state = State(found.family, found.parameters, found.lattice)
        wider = seen.agreement(seen.straight(state.family, state.c), state.lattice, 1.0, PARTS, everywhere=True)
        agreeing = wider.reshape(PARTS, PARTS) > THERE
        wider = connected(agreeing, agreeing)
        if last or int(wider.sum()) <= int(within.sum()):
            break
        within = wider
    return replace(found, within=within)


def _agreements(matcher: Matcher, state: State, sigma: float = 1.0, scored: int = SCORED) -> Tensor:
    return matcher.agreement(matcher.straight(state.family, state.c), state.lattice, sigma, scored)


def _attempts(matcher: Matcher, state: State, families: Sequence[Family]) -> Iterator[_Attempt]:
    """One after the other, each from the best so far, until one is good enough."""
    best: _Attempt | None = None
    side = state.lattice.side * matcher.unit
    for family in families:
        if family is SMOOTH and best is not None and best.agreement < FOUND:
            return
        begin = other(state if best is None else best.state, family)
        if not begin.sound:
            continue
        found = rounds(matcher, begin, blurs(side)[1:])
        found = _settled(matcher, found) if family is SMOOTH else found
        if found.found is None:
            continue
        error, se = cross_validated(found.found, family, found.c, found.lattice.side)
        made = _Attempt(found, matcher.unit * error, matcher.unit * se, _agreements(matcher, found))
        yield made
        if best is None or made.agreement > best.agreement:
            best = made
        if made.enough and (family is not PERSPECTIVE or float(found.c.norm()) > NEGLIGIBLE):
            return


def _settled(matcher: Matcher, state: State) -> State:
    """The state after as many rounds as make its cells agree better."""
    before = float(_agreements(matcher, state).mean())
    for _ in range(SETTLING):
        after = rounds(matcher, state, blurs(state.lattice.side * matcher.unit)[2:])
        agreement = float(_agreements(matcher, after).mean())
        if agreement > before:
            state = after
        if agreement < before + SETTLED:
            break
        before = agreement
    return state


def _from_tilts(matcher: Matcher, starts: Sequence[Start], families: Sequence[Family]) -> list[_Attempt]:
    """Simple fields, from the tilt under which cells agree best."""
    begun = []
    for start in apart(starts):
        sigmas = blurs(start.lattice.side * matcher.unit)
        state = rounds(matcher, State(PERSPECTIVE, start.tilt, start.lattice), sigmas[:2])
        begun.append((float(_agreements(matcher, state, sigmas[1]).mean()), state))
    state = max(begun, key=lambda pair: pair[0])[1]
    state = rounds(matcher, state, blurs(state.lattice.side * matcher.unit)[2:])
    if state.found is None:  # not even a first round gave a lattice
        return []
    simple = [f for f in (PERSPECTIVE, STRAIGHT, BARREL, SCAN) if f in families]
    if float(state.c.norm()) > TILTED and PERSPECTIVE in families:
        simple.remove(STRAIGHT)
    return list(_attempts(matcher, state, simple))


def _from_recurrences(matcher: Matcher, families: Sequence[Family], every: list[State]) -> Iterator[_Attempt]:
    """From the fields that recurrences show, scale by scale, until one is certain; all are added to `every`."""
    for states in recurring(matcher):
        begun: list[tuple[float, State]] = []
        for state in states:
            fresh = rounds(matcher, state, blurs(state.lattice.side * matcher.unit)[1:3])
            if fresh.found is not None:
                begun.append((float(_agreements(matcher, fresh).mean()), fresh))
        every += [state for _, state in begun]
        for best in _unlike([pair for pair in begun if pair[0] > BEGUN]):
            made = list(_attempts(matcher, best, families))
            yield from made
            if any(a.agreement > CERTAIN for a in made):
                return


def _unlike(begun: Sequence[tuple[float, State]]) -> list[State]:
    """The states that agree best, with cells of different areas."""
    kept: list[State] = []
    for _, state in sorted(begun, key=lambda pair: -pair[0]):
        if all(abs(math.log(state.lattice.side / other.lattice.side)) > UNLIKE for other in kept):
            kept.append(state)
    return kept[:TRIED]


def _chosen(tried: Sequence[_Attempt], image: Tensor, alike: float = ALIKE) -> Field:
    """The simplest of those under which the cells agree as well as under any, up to a standard error."""
    best = max(tried, key=lambda a: a.agreement)
    order = {family.name: k for k, family in enumerate(FAMILIES)}
    for found in sorted(tried, key=lambda a: (order[a.state.family.name], -a.agreement)):
        worse = best.agreements - found.agreements
        if float(worse.mean()) <= alike + float(worse.std()) / len(worse) ** 0.5:
            break
    state = found.state
    return Field(
        state.family, state.c, state.lattice, found.error, found.error_se, found.agreement,
        image.shape[-1], image.shape[-2],
    )  # fmt: skip
