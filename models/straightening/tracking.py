"""Rounds of measuring and fitting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .families import Family
from .fit import Sighting, fitted
from .matching import LEAST_ERROR, Matcher
from .plane import Lattice, Measured, Windows

LONGEST = 0.25  # of a cell's side: no content is sought farther from where the average has it
AGREED = 0.3  # least correlation of a window with the average
SMALLEST, LARGEST = 1e-4, 2.0  # areas of a cell, of a view of 4
TOLD = 0.02  # of a good window's information: windows with less are empty


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
        fresh = _refitted(state.family, state, _measured(matcher, state, sigma, windows))
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
    return State(family, *fitted(Sighting.of(found), family, start), found)


def displaced(matcher: Matcher, state: State, sigma: float, windows: Windows) -> tuple[Tensor, Tensor, Tensor]:
    """What K windows show after a blur of `sigma` px: `fractions`, `information` and `agreement`, see `Measured`."""
    straight = matcher.straight(state.family, state.c)
    moved, information, agreement = matcher.displacements(straight, state.lattice, sigma, windows)
    longest = LONGEST * state.lattice.side
    moved = moved * (longest / moved.norm(dim=-1, keepdim=True).clamp_min(1e-9)).clamp_max(1)
    fractions = state.lattice.fractions(state.family.apply(windows.at, state.c) + moved)
    # the inverse of the covariance, to which the least error was added; empty windows have none to invert
    least_variance = (LEAST_ERROR / matcher.unit) ** 2
    # and in double: an edge alone tells one direction so well that the rest would be lost in rounding
    information = information.double()
    information = torch.linalg.solve(torch.eye(2).to(information) + least_variance * information, information).to(moved)
    return fractions, information, agreement


def _measured(matcher: Matcher, state: State, sigma: float, windows: Windows) -> Measured:
    fractions, information, agreement = displaced(matcher, state, sigma, windows)
    told = information.diagonal(dim1=1, dim2=2).sum(-1)
    some = told > TOLD * told.quantile(0.75)
    used = some & (agreement > AGREED)
    if int(used.sum()) < max(8, 0.15 * len(used)):
        used = some
    found = windows.at, fractions, information, agreement, used, windows.fold
    return Measured(*(found if matcher.weight is None else (v[matcher.inside(windows)] for v in found)))
