"""Images to answers: `predict` gives the typed `results`, `symmetry` places operations, `figure` draws them.

`many` and `rows` answer thousands into tables that resume; `explain` says which maps decided; `words` are for readers.
"""
