"""Images whose lattice is bent: a field that straightens it, found from how the image repeats, and the straight image.

`families` are the fields, as simple as the evidence allows; `search` proposes where to begin; `matching` compares an
image with the average of its own cells; `fit` joins what was measured there; `tracking` follows a lattice over the
image; `straighten` chooses; `resample` makes the straight image; `metric` tells which lattices are near.
"""
