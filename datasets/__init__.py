"""Images with known wallpaper groups, made on demand: from photographs, from simulated atoms and from noise.

A dataset is (source, seed, index). An image can be made anywhere, alone or in any batch, in any order, and
nothing need be stored. Its symmetry is exact by construction; a label guard sees to it that it has no more.

>>> photos = PatternDataset("photos", seed=1, size=64)
>>> [photos.label(i) for i in (0, 1, 16, 17)]
['p1', 'p2', 'p6m', 'p1']

`PatternDataset` makes patterns and `NonPatternDataset` images that are none; `split_pool` finds the
photographs behind them, and `Corruption` adds what microscopes and cameras add.
"""

from .corruptions import CORRUPTIONS, OF_ATOMS, Corruption, corrupt
from .dataset import SOURCES, DatasetError, PatternDataset, Source
from .drawn import Pattern
from .lattices import Orientation
from .negatives import KINDS, NonPatternDataset
from .sources import Pool, SourceError, default_pool, photo_pool, split_pool

__all__ = [
    "CORRUPTIONS",
    "KINDS",
    "OF_ATOMS",
    "SOURCES",
    "Corruption",
    "DatasetError",
    "NonPatternDataset",
    "Orientation",
    "Pattern",
    "PatternDataset",
    "Pool",
    "Source",
    "SourceError",
    "corrupt",
    "default_pool",
    "photo_pool",
    "split_pool",
]
