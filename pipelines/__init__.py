"""What a user runs: files, MLflow and pictures. Each room is a package; imports go from the later to the earlier.

=============  ========================================================================================
`files`        written whole or not at all
`reading`      images of any format, with the length of their pixels
`answering`    images to predictions, and predictions to tables
`drawing`      overlays, diagrams, figures and the report
`field`        maps of images with more than one domain
`generating`   datasets on disk, and the evidence that trainings read
`tracking`     MLflow: runs, models, registry, page
`training`     nodes, routers, calibration, the scikit-learn estimator
`measuring`    accuracy and calibration on labelled images
`benchmark`    every system of Guo, Qin and Agar beside ours
=============  ========================================================================================
"""
