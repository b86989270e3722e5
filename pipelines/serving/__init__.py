"""Code that MLflow keeps beside a model and runs by itself. It imports only from `hier`.

So a move inside `hier` breaks none of the models that were logged before. `node_pyfunc` serves a node,
`classifier_pyfunc` the whole tree.
"""
