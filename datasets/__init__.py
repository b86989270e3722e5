"""Images with known wallpaper groups, made on demand: from photographs, from simulated atoms and from noise.

A dataset is (source, seed, index). An image can be made anywhere, alone or in any batch, in any order, and
nothing need be stored. Its symmetry is exact by construction; a label guard sees to it that it has no more.

>>> photos = PatternDataset("photos", seed=1, size=64)
>>> [photos.label(i) for i in (0, 1, 16, 17)]
['p1', 'p2', 'p6m', 'p1']

`PatternDataset` makes patterns and `NonPatternDataset` images that are none; `split_pool` finds the
photographs behind them, and `Corruption` adds what microscopes and cameras add. `node_view`, `level_view` and
`flat_view` choose what the training of a node, a level or all labels needs, and `Epoch` shuffles it.
"""

from .corruptions import CORRUPTIONS, OF_ATOMS, Corruption, corrupt
from .lattices import Orientation
from .negatives import KINDS, NonPatternDataset
from .order import Epoch
from .pattern import Pattern
from .patterns import SOURCES, DatasetError, PatternDataset, Source
from .sources import Pool, SourceError, default_pool, photo_pool, split_pool
from .views import Labelled, View, answers, flat_view, level_view, node_view

__all__ = [
    "CORRUPTIONS",
    "KINDS",
    "OF_ATOMS",
    "SOURCES",
    "Corruption",
    "DatasetError",
    "Epoch",
    "Labelled",
    "NonPatternDataset",
    "Orientation",
    "Pattern",
    "PatternDataset",
    "Pool",
    "Source",
    "SourceError",
    "View",
    "answers",
    "corrupt",
    "default_pool",
    "flat_view",
    "level_view",
    "node_view",
    "photo_pool",
    "split_pool",
]
