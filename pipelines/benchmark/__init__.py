"""Every system of Guo, Qin and Agar beside ours: `settings` a preset, `data` its images, `rows` a system trained and
measured, `run` all of them, `report` the tables.

`fit` trains one network, `memory` predicts whether a row fits, `explain` shows which pixels decided, `figures` draws
confusions and curves, `tracking` writes to MLflow. `theirs` holds the published figures.
"""
