"""Maps of large fields: `places` chooses windows, `measure` classifies them, `domains` joins them, `plot` draws.

`lattice` compares the lattices of neighbours, `table` sums a map up in a few figures.
"""
