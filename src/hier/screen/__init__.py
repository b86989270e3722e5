"""All that is shown on a terminal: `panels` answers, `progress` bars, `tables` of trainings, accuracies and maps.

`streams` prints a line and `console` what rich lays out: there no name steers the terminal or forges a line.
`comparisons` has tables of several models, `benchmark` the benchmark's.
"""
