"""Trainings: `settings` from command line and YAML, `data` the images, `loop` the epochs of any network with their
`checkpoints`, `fit` one node, alone or in `parallel`, `steps` from backbone to nodes, `endless` the same on a `stream`
of new images, `on_ray` on many machines, `train` a tree of them, `fit_routers` and `calibrate` what comes after,
`assemble` champions to a classifier, `estimator` the same for scikit-learn, with the `best` epoch kept."""
