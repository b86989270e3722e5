"""A model's accuracy: `evaluate` on generated patterns or labelled folders, `labelled` on images with several right
answers in a `labels.csv`, `files` the answers to files of many sizes, `metrics` the figures, `scores` some of them for
labels of your own, `submission` that of one for a release.
"""
