"""Images to probabilities: evidence of symmetry, networks that read it, and what joins their answers.

================  =====================================================================================
`evidence`        an image's lattice, averaged cell and symmetry maps; what a node reads
`placing`         where a group's operations lie on the lattice, and how well each holds
`regions`         parts of a view in which one lattice repeats
`residuals`       phase and amplitude residuals of all groups, and their Akaike weights
`routing`         nodes' probabilities to those of the labels; temperatures; partial answers
`straightening`   fields that straighten bent images, and the straight image
`systems`         the systems of Guo, Qin and Agar
`node`            the network at one node of a tree
`lcnet`           the bundled model's backbone, without timm
`stack`           the networks of all nodes, run as one
`bundle`          nodes in a file: a card (JSON) and weights without pickle
`saved`           where a model's card is on disk
`weights`         tensors and text in one file, and the digest that shows damage
`leanings`        what the scores of whole groups add to a node's logits
`classifier`      a bundle, put to use
`ladder`          answers at every tolerance
`parts`           the part of an image that shows a pattern most surely
`representation`  old name of a module in `evidence`, for models logged in MLflow
================  =====================================================================================

`wallpaper.json` and `.safetensors` are the bundled model, made by `recipes/training.yaml`.
"""
