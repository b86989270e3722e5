"""From nodes to labels: `router` has the rules, `names` what they are called, `mixture` and `calibration` what is
fitted to a model, `cost` what errors cost, `ensemble` the average of several models, `partial` answers that stop above
a leaf.
"""
