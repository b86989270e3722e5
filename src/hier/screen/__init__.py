"""All that is shown on a terminal: `panels` answers, `progress` bars, `tables` of trainings, accuracies and maps.

`comparisons` has tables of several models, `benchmark` the benchmark's.
"""
