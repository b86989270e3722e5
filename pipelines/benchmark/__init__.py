"""Every system of Guo, Qin and Agar beside ours: `settings` a preset, `data` its images, `rows` a system trained and
measured, `run` all of them, `report` the tables."""
