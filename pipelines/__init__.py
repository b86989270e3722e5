"""What a user runs: files, MLflow and pictures. Each is a package; imports go from the later to the earlier
(`tests/test_architecture.py` has the whole order).

===============  ======================================================================================
`reading`        images of any format, with the length of their pixels
`cluster`        many machines through Ray
`devices`        whether hier works on a processor or a card
`generating`     datasets on disk, and the evidence that trainings read
`straightening`  bent images: whether to straighten them, and what is then possible
`measuring`      accuracy and calibration on labelled images
`drawing`        overlays, diagrams and charts
`answering`      images to predictions, and predictions to tables
`reporting`      predictions as pages and pictures
`field`          maps of images with more than one domain
`tracking`       MLflow: runs, models, registry, page
`training`       nodes, routers, calibration, the scikit-learn estimator
`benchmark`      every system of Guo, Qin and Agar beside ours
`loading`        `hier.load`: a model by its path or its name in the registry
`onnx_files`     the networks of a model for programs without PyTorch
`page`           the page of `hier app`, in the browser
`serving`        what MLflow keeps beside a model
`stopping`       what ends a command before it is done; children that do not outlive it
`marks`          the mark in every file that hier writes
`outputs`        rejects an output that is an input or a file that hier did not write
===============  ======================================================================================

`predict` and `results` are old names of a function and a class, for models logged in MLflow.
"""
