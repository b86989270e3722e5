"""A model's accuracy: `evaluate` on generated patterns or labelled folders, `metrics` the figures."""
