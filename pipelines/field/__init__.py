"""Maps of large fields: `places` chooses windows, `measure` classifies them, `domains` joins them, `plot` draws.

`window` chooses their side within `sizes`, `vector` draws SVG and PDF. `straight` cuts windows out of bent pictures,
`lattice` compares the lattices of neighbours, `table` sums a map up in a few figures.
"""
