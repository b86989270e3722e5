"""How right a model is: `evaluate` on generated patterns or labelled folders, `metrics` the figures."""
