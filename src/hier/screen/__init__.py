"""All that is shown on a terminal: `panels` answers, `groups` the table of one, `progress` bars, `tables`.

`streams` prints a line and `console` what rich lays out: there no name steers the terminal or forges a line.
`comparisons` has tables of several models, `benchmark` the benchmark's, `scores` those of a submission.
"""
