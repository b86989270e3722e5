"""Parts of a view in which one lattice repeats: grains, crystals on a ground, crystals with a hole.

`seeds` are lattices of windows; `growing` follows one over the view, as far as its cells agree with their average;
`shapes` are outlines and rectangles of masks; `finding` joins them: all regions of an image.
"""
