"""Rounds of measuring and fitting: about the whole image, or outwards from a part of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .families import PERSPECTIVE, POLYNOMIAL, STRAIGHT, Family
from .fit import fitted
from .matching import LEAST_ERROR, Lattice, Matcher, Measured, Windows

LONGEST = 0.25  # of a cell's side: no content is sought farther from where the average has it
AGREED, NEAR_AGREED = 0.3, 0.4  # least correlation of a window with the average
SMALLEST, LARGEST = 1e-4, 2.0  # areas of a cell, of a view of 4
TOLD = 0.02  # of a good window's information: windows with less are empty
ROUNDS: tuple[tuple[float, Family], ...] = (
    (0.55, STRAIGHT), (0.7, PERSPECTIVE), (0.9, POLYNOMIAL), (1.15, POLYNOMIAL), (1.5, POLYNOMIAL),
)  # fmt: skip


@dataclass(frozen=True)
class State:
    """A field of `family` with parameters `c`, the lattice that it makes straight, and what was measured last."""

    family: Family
    c: Tensor
    lattice: Lattice
    found: Measured | None = None

    @property
    def sound(self) -> bool:
        """Whether there are numbers, and a cell that is neither a few px nor larger than the view."""
        area = torch.linalg.det(self.lattice.basis).abs()
        return bool(self.c.isfinite().all() and SMALLEST < area < LARGEST)


def blurs(side: float) -> tuple[float, float, float, float]:
    """Blurs in px, from coarse to fine, for cells of `side` px: coarse ones reach farther."""
    return max(1.0, 0.08 * side), max(1.0, 0.05 * side), max(1.0, 0.03 * side), 1.0


def rounds(matcher: Matcher, state: State, sigmas: Sequence[float]) -> State:
    """Measure and fit, once for each blur."""
    windows = matcher.windows(state.lattice.side * matcher.unit)
    for sigma in sigmas:
        fresh = _refitted(state.family, state, _measured(matcher, state, sigma, windows, AGREED))
        if not fresh.sound:
            break
        state = fresh
    return state


def other(state: State, family: Family) -> State:
    """The field of `family` that fits what was measured."""
    assert state.found is not None
    return _refitted(family, state, state.found)


def _refitted(family: Family, state: State, found: Measured) -> State:
    start = state.c if family is state.family else state.c.new_zeros(family.size)
    return State(family, *fitted(found, family, start), found)


def grown(matcher: Matcher, lattice: Lattice) -> State:
    """The lattice of a part, about its origin, followed outwards until it covers the image."""
    state = State(STRAIGHT, lattice.basis.new_zeros(0), lattice)
    side = lattice.side * matcher.unit
    windows, sigmas, middle = matcher.windows(side), blurs(side)[1:3], lattice.origin
    far, pixel = (windows.at - middle).norm(dim=-1), (matcher.points - middle).norm(dim=-1)
    steps = [(reach, family) for reach, family in ROUNDS if reach < float(far.max())]
    for reach, family in [*steps, (torch.inf, POLYNOMIAL)]:
        matcher.weight = (pixel < reach).float()
        for sigma in sigmas:
            found = _measured(matcher, state, sigma, windows, NEAR_AGREED, far < reach + 0.1)
            fresh = _refitted(family, state, found)
            state = fresh if fresh.sound else replace(state, found=found)
    matcher.weight = None
    return state


def _measured(
    matcher: Matcher, state: State, sigma: float, windows: Windows, least: float, within: Tensor | None = None
) -> Measured:
    straight = state.family.apply(matcher.points, state.c)
    moved, information, agreement = matcher.displacements(straight, state.lattice, sigma, windows)
    longest = LONGEST * state.lattice.side
    moved = moved * (longest / moved.norm(dim=-1, keepdim=True).clamp_min(1e-9)).clamp_max(1)
    fractions = state.lattice.fractions(state.family.apply(windows.at, state.c) + moved)
    # the inverse of the covariance, to which the least error was added; empty windows have none to invert
    least_variance = (LEAST_ERROR / matcher.unit) ** 2
    information = torch.linalg.solve(torch.eye(2).to(moved) + least_variance * information, information)
    told = information.diagonal(dim1=1, dim2=2).sum(-1)
    within = torch.ones_like(told, dtype=torch.bool) if within is None else within
    some = within & (told > TOLD * told[within].quantile(0.75))
    used = some & (agreement > least)
    if int(used.sum()) < max(8, 0.15 * int(within.sum())):
        used = some
    return Measured(windows.at, fractions, information, agreement, used, windows.grid)
