"""Images with known wallpaper groups, made on demand: from photographs, simulated atoms, noise and lines.

A dataset is (source, seed, index). An image can be made anywhere, alone or in any batch, in any order, and
nothing need be stored. Its symmetry is exact by construction; a label guard ensures that it has no more.

>>> photos = PatternDataset("photos", seed=1, size=64)
>>> [photos.label(i) for i in (0, 1, 16, 17)]
['p1', 'p2', 'p6m', 'p1']

`PatternDataset` makes patterns and `NonPatternDataset` images without one; `split_pool` finds the
photographs behind them, and `Corruption` adds what microscopes and cameras add.

=====================  =================================================================================
`dataset`              `PatternDataset`: source, seed and index to an image
`about`                what is known exactly about an image: its group, cell, origin, corruptions
`drawn`                what is drawn for a pattern before any pixel is made
`looks`                what patterns look like: clean, rough and disordered
`lattices`             random cells, drawn the same way for every group of a lattice system
`orbits`               orbits of generic points, of many patterns together
`fold`                 points folded into a fundamental domain, the exact construction
`fresh`                the same on any device, a batch at a time, for networks that see each image once
`controls`             the same with other phases: matched controls of patterns
`paste`                whole-pixel cells tiled, the construction of most published data
`sources`              photographs and bundled pictures that a pattern is made of
`textures`             dead leaves and noise, drawn from random numbers
`pictures`             a source read at folded points
`atoms`                a few sites, of which all atoms are copies
`spots`                Gaussian spots on their orbits, and the sum of all in view
`outlines`             tilings and ornaments drawn as lines
`tilings`              borders of Dirichlet cells, straight or bent, and strokes: what `outlines` draws
`rasterisers`          lines on a grid of pixels: exactly, and the ways of common drawing tools
`near_miss`            patterns that nearly have a supergroup
`guard`                rejects patterns with more symmetry than their label
`negatives`            `NonPatternDataset`: images that are not periodic
`corruptions`          blur, noise, drift and others, of severity 0 to 5
`light`                shadows, vignettes, scan lines, saturated pixels, steep planes, of severity 0 to 5
`disorder`             atoms displaced or missing
`distortions`          views tilted, bent, sheared, or drawn by a lens or a slow scan, exactly known
`workmanship`          rough but symmetric: deviations that repeat with the cell, and such as of handwork
`workmanship_sheet`    where cells and copies lie, and random fields on them
`workmanship_scale`    how much a picture has changed, and the strength that changes it by so much
`workmanship_moved`    content displaced, copies turned on pixels, atoms off their sites
`workmanship_toned`    shading, copies toned or blurred, the shape of a probe
`workmanship_printed`  halftone, few colours, few pixels, JPEG
=====================  =================================================================================
"""

from .about import About
from .corruptions import CORRUPTIONS, OF_ATOMS, OF_PATTERN, OF_VIEW, Corruption, corrupt
from .dataset import SOURCES, DatasetError, PatternDataset, Source
from .distortions import Distortion
from .drawn import Pattern
from .lattices import Orientation
from .negatives import KINDS, NonPatternDataset
from .sources import Pool, SourceError, default_pool, photo_content, photo_pool, split_pool

__all__ = [
    "CORRUPTIONS",
    "KINDS",
    "OF_ATOMS",
    "OF_PATTERN",
    "OF_VIEW",
    "SOURCES",
    "About",
    "Corruption",
    "DatasetError",
    "Distortion",
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
