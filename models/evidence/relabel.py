"""The same evidence under another choice of basis: an augmentation that costs nothing.

The reduced basis of a lattice is one of several: a and b may be swapped when they are equally long, one may be
reversed when they are at right angles, and a hexagonal lattice has three pairs. What a node answers must not
depend on that choice. Changing the basis by an integer matrix P permutes operations (W to P^-1 W P), positions
(u to P^-1 u) and fractions of lattice vectors, so nothing has to be computed again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .maps import MAPS, WEIGHTINGS
from .representation import EVIDENCE, MAP_CHANNELS, SIDE

CHANGES = {
    "swap": ((0, 1), (1, 0)),
    "flip": ((1, 0), (0, -1)),
    "turn": ((1, -1), (1, 0)),
}
FINER = ((0, 3), (3, 0), (3, 3), (0, 2), (2, 0), (2, 2), (2, 4))  # sixths, in the order of `SymmetryMaps.finer`
_STRAIN = MAP_CHANNELS  # where the strains begin among the numbers
_SIX, _HEXAGONAL = 3, [1, 3, 10, 11, 12, 13]  # operations that only hexagonal metrics have


@dataclass(frozen=True)
class Relabelling:
    """Permutations: new map channel, number and position (row-major on the SIDE x SIDE grid) from old ones.

    (M,), (E,) and (SIDE**2,), or a row for each of several changes.
    """

    channels: Tensor
    numbers: Tensor
    places: Tensor


@lru_cache(maxsize=len(CHANGES))
def relabelling(name: str) -> Relabelling:
    """The permutations of a change of basis in `CHANGES`; operations without an image keep their channel."""
    P = np.array(CHANGES[name])
    inverse = np.rint(np.linalg.inv(P)).astype(int)
    keys = [(np.array(W), 2 * np.array(glide)) for _, W, glide in MAPS]
    source = list(range(len(MAPS)))
    for old, (W, glide) in enumerate(keys):
        image, shift = inverse @ W @ P, np.abs(inverse @ glide) % 2
        both = (image, np.rint(np.linalg.inv(image)).astype(int))
        for new, (V, other) in enumerate(keys):
            if any((m == V).all() for m in both) and (other % 2 == shift).all():
                source[new] = old
    channels = _spread(source, len(WEIGHTINGS))
    sixths = {tuple(t): k for k, t in enumerate(FINER)} | {tuple((-v) % 6 for v in t): k for k, t in enumerate(FINER)}
    finer = [sixths[tuple(int(v) for v in (P @ np.array(t)) % 6)] for t in FINER]
    noise = _STRAIN + len(MAPS)
    first_finer = noise + len(WEIGHTINGS)
    numbers = np.arange(EVIDENCE)
    numbers[:MAP_CHANNELS] = channels
    numbers[_STRAIN:noise] = _STRAIN + np.array(source)
    numbers[first_finer : first_finer + 7 * len(WEIGHTINGS)] = first_finer + _spread(finer, len(WEIGHTINGS))
    ticks = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij"), -1)
    at = (ticks @ P.T) % SIDE
    places = at[..., 0] * SIDE + at[..., 1]
    return Relabelling(torch.from_numpy(channels), torch.from_numpy(numbers), torch.from_numpy(places.ravel()))


def _spread(index: list[int], width: int) -> NDArray[np.int64]:
    return (np.array(index)[:, None] * width + np.arange(width)).ravel()


def relabel(maps: Tensor, numbers: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Maps (B, M, S, S) and numbers (B, E) after a change of basis."""
    r = relabelling(name)
    channels, places, order = (t.to(maps.device) for t in (r.channels, r.places, r.numbers))
    moved = maps.index_select(1, channels).flatten(2).index_select(2, places)
    return moved.reshape(maps.shape), numbers.index_select(1, order)


STEPS = ("swap", "flip", "turn", "turn")  # in this order, each or not


@lru_cache(maxsize=1)
def _every() -> Relabelling:
    """The permutations of every choice among `STEPS`, a row each: the k-th bit of the row's number is the k-th step."""
    made = []
    for chosen in range(2 ** len(STEPS)):
        all_of = [torch.arange(MAP_CHANNELS), torch.arange(EVIDENCE), torch.arange(SIDE**2)]
        for k, name in enumerate(STEPS):
            if chosen >> k & 1:
                r = relabelling(name)
                all_of = [old[new] for old, new in zip(all_of, (r.channels, r.numbers, r.places), strict=True)]
        made.append(all_of)
    return Relabelling(*(torch.stack(some) for some in zip(*made, strict=True)))


def draw_relabelling(count: int) -> Tensor:
    """What `random_relabel` draws for so many images: (4, count) in [0, 1), on the CPU, by torch's generator."""
    return torch.rand(len(STEPS), count)


def random_relabel(
    maps: Tensor, numbers: Tensor, swap: bool = True, drawn: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Each image under a random choice of its equivalent bases, by `drawn` if that is given.

    Without `swap`, a stays the shorter vector and b the longer.
    """
    drawn = (draw_relabelling(len(maps)) if drawn is None else drawn).to(maps.device)
    strain = 10 ** (-3 * numbers[:, _STRAIN : _STRAIN + len(MAPS)]) - 1e-3
    turnable = strain[:, _SIX] < 0.1
    flippable = (strain[:, _HEXAGONAL] > 0.15).all(1)
    steps = ((drawn[0] < 0.5) & swap, flippable & (drawn[1] < 0.5), turnable & (drawn[2] < 2 / 3),
             turnable & (drawn[3] < 0.5))  # fmt: skip
    chosen = sum(step.long() << k for k, step in enumerate(steps))
    every = _every()
    channels, order, places = (t.to(maps.device)[chosen] for t in (every.channels, every.numbers, every.places))
    at = (channels[:, :, None] * SIDE**2 + places[:, None, :]).flatten(1)
    return maps.flatten(1).gather(1, at).reshape(maps.shape), numbers.gather(1, order)
