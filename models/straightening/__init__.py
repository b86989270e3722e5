"""Images whose lattice is bent: a field that straightens it, found from how the image repeats, and the straight image.

`families` are the kinds of `fields`, as simple as the evidence allows; `search` proposes tilts to begin with,
`recurrences` bends, from where patches recur; `matching` compares an image with the average of its own cells, in terms
of lattice, windows and points in the straight `plane`; `fit` joins what was seen; `tracking` goes round by round;
`doubts` tell whether an image bends at all; `straighten` chooses; `resample` makes the straight image; `metric` tells
which lattices are near.
"""
