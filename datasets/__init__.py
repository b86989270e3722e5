"""Images with known wallpaper groups, made on demand: from photographs, from simulated atoms and from noise.

A dataset is (source, seed, index). An image can be made anywhere, alone or in any batch, in any order, and
nothing need be stored. Its symmetry is exact by construction; a label guard ensures that it has no more.

>>> photos = PatternDataset("photos", seed=1, size=64)
>>> [photos.label(i) for i in (0, 1, 16, 17)]
['p1', 'p2', 'p6m', 'p1']

`PatternDataset` makes patterns and `NonPatternDataset` images without one; `split_pool` finds the
photographs behind them, and `Corruption` adds what microscopes and cameras add.

===============  ======================================================================================
`dataset`        `PatternDataset`: source, seed and index to an image
`drawn`          what is drawn for a pattern before any pixel is made
`lattices`       random cells, drawn the same way for every group of a lattice system
`fold`           points folded into a fundamental domain, the exact construction
`paste`          whole-pixel cells tiled, the construction of most published data
`sources`        photographs and noise that a pattern is made of
`pictures`       a source read at folded points
`atoms`          Gaussian spots on the orbits of a few sites
`near_miss`      patterns that nearly have a supergroup
`guard`          rejects patterns with more symmetry than their label
`negatives`      `NonPatternDataset`: images that are not periodic
`corruptions`    blur, noise, drift and others, of severity 0 to 5
`light`          shadows, vignettes, scan lines, saturated pixels, steep planes, of severity 0 to 5
`disorder`       atoms displaced or missing
===============  ======================================================================================
"""

from .corruptions import CORRUPTIONS, OF_ATOMS, Corruption, corrupt
from .dataset import SOURCES, DatasetError, PatternDataset, Source
from .drawn import Pattern
from .lattices import Orientation
from .negatives import KINDS, NonPatternDataset
from .sources import Pool, SourceError, default_pool, photo_content, photo_pool, split_pool

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
    "photo_content",
    "photo_pool",
    "split_pool",
]
