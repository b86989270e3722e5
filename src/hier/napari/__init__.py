"""The plugin for napari: a widget beside the viewer that finds the group of an image layer and draws its symmetry.

`widget` is what napari opens, `find` what it does, without a window: an image layer, perhaps with a rectangle, to a
prediction, and that to layers. ``napari.yaml`` tells napari of it.
"""
