"""Images to answers: `predict` gives the typed `results`, `symmetry` places operations, `figure` draws them.

`cells` are conventional cells, and `ladder` tells the answer by how much deviation is forgiven, and how well each of
the 17 groups holds.
`many` and `rows` answer thousands into tables that resume, from files read `ahead`, `on_ray` by many machines;
`rectify` straightens bent images and lists what remains possible where lengths are no evidence; `corrected` writes the
straight image. `explain` says which maps decided; `words` are for readers.
"""
