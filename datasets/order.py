"""The order of an epoch: a permutation of any number of images that needs no memory and can begin anywhere.

A Feistel network is a bijection whatever its round function (Luby and Rackoff, SIAM J. Comput. 17, 1988). Its
domain is the next power of four; positions that fall outside the images are sent through again until they are
inside ("cycle walking", Black and Rogaway, CT-RSA 2002), which leaves a permutation of the images.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
ROUNDS = 6


@dataclass(frozen=True)
class Epoch:
    """Images 0 to `count` in an order that depends on (count, seed, epoch) alone.

    >>> order = Epoch(count=10, seed=1, epoch=0)
    >>> sorted(order.at(range(10))) == list(range(10)), order.at([7]) == order.at(range(10))[7:8]
    (True, array([ True]))
    """

    count: int
    seed: int
    epoch: int

    def at(self, positions: range | list[int]) -> NDArray[np.int64]:
        """Images at some positions, each in ``range(count)``: (P,)."""
        at = np.asarray(positions, dtype=np.uint64)
        if len(at) and int(at.max()) >= self.count:
            raise IndexError(f"position {int(at.max())} in an epoch of {self.count} images")
        half = max(1, -(-max(self.count - 1, 1).bit_length() // 2))
        keys = np.random.SeedSequence([self.seed, self.epoch]).generate_state(ROUNDS, np.uint64).astype(np.uint64)
        at = _network(at, half, keys)
        outside = at >= self.count
        while outside.any():
            at[outside] = _network(at[outside], half, keys)
            outside = at >= self.count
        return at.astype(np.int64)

    def batches(self, size: int, start: int = 0, rank: int = 0, world: int = 1) -> Iterator[NDArray[np.int64]]:
        """Batches of at most `size` images from position `start` on, to resume an epoch where it stopped.

        Of `world` processes, the one called `rank` gets every `world`-th batch.
        """
        for k in range(start + rank * size, self.count, size * world):
            yield self.at(range(k, min(k + size, self.count)))


def _network(at: Words, half: int, keys: Words) -> Words:
    mask, shift = np.uint64((1 << half) - 1), np.uint64(half)
    left, right = at >> shift, at & mask
    for key in keys:
        left, right = right, left ^ (_mixed(right + key) & mask)
    return (left << shift) | right


def _mixed(z: Words) -> Words:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Words = z ^ (z >> np.uint64(31))
    return mixed
