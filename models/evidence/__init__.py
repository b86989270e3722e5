"""What a node reads from an image, from pixels to symmetry maps.

`background` removes slopes and outliers; from the `autocorrelation`, which tells how an image `repeats`, and its
`peaks` comes the `lattice`. `flatten` takes away light and scan lines where the lattice is the clearer for it,
`copies` counts the cells that share what an image shows. `fourier` and `structure` give the averaged cell, `maps` how
well each operation holds for every centre and axis: a mirror and a glide have maps of their own.
`groups` tells how well each of the 17 groups holds as a whole, all its operations about one origin. `superlattice`
finds lattices that are nearly finer ones, and `within` is the evidence on the lattices that an image has at some
tolerance.
`representation` is all of it in one tensor, `described` names its parts, `relabel` what it becomes in another basis,
`crops` the part of a large image that is analysed, `given` a lattice that is not looked for, `batches` joins and cuts
what was found on several images.
"""
