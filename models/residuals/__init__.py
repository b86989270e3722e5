"""How far an averaged cell is from each of the 17 groups, in the numbers that crystallographers give.

`reflections` are its structure factors with their uncertainties; `plan` has what every setting of a group asks of them,
as index tables; `stretch` is how much a lattice must give way for a setting, and `origins` finds where it lies.
`scores` are the phase residual, the amplitude residual, the sum of squares and what noise alone leaves of them;
`akaike` weighs the groups by the geometric information criterion.
"""
