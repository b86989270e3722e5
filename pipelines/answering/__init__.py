"""Images to answers: `predict` gives the typed `results`, `symmetry` places operations, `figure` draws them,
`outlines` gives what is drawn as points.

`cells` are conventional cells, and `ladder` tells the answer by how much deviation is forgiven, and how well each of
the 17 groups holds. `table` says that in a crystallographer's numbers, `tabled` for many images; `refined` is the cell
by least squares, with uncertainties; `exports` writes the averaged cell, its structure factors and the plane group.
`confidence` is how far an answer is to be trusted, `refused` what to do about an image that is not periodic. `asked` is
what a user has a say in: the lattice, a group, its origin. `regions` are the parts of a view with a lattice of their
own, each with its answer.
`many` and `rows` answer thousands into tables that resume, from files read `ahead`, `on_ray` by many machines;
`corrected` writes the straight image. `explain` says which maps decided; `words` are for readers.
"""
