"""Every system of Guo, Qin and Agar beside ours: `settings` a preset, `data` its images, `foreign` images of others,
`bench` what rows have in common, `jobs` which are to be run, `rows` a system trained and measured, `run` all of them.

Rows: `pixel_rows`, `map_rows`, `local_rows` (HiClass) and `bundled_row`; `measured` has their figures. `fit` trains one
network, `memory` predicts whether a row fits, `explain` shows which pixels decided, `figures` draws confusions and
curves, `cells` and `page` are the tables, `report` writes all of it, `tracking` writes to MLflow. `theirs` holds the
published figures.
"""
