"""Wallpaper groups of periodic images, step by step down the crystallographer's tree.

`hierarchy` has what is true of the groups, `datasets` images with known groups, `models` leads from images to
probabilities, `pipelines` is what a user runs; `cli` and `screen` are the command line and what it shows, `napari` is
a plugin for that viewer. `arrays` has tensor functions that several of them share.

The public names are listed in ``__init__.pyi`` and imported when first used: `hier --help` should not wait for torch.
"""

import os

import lazy_loader

# Threads that wait sleep; where another program keeps a core busy, those that spin take ten times as long.
# OpenMP reads it when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
