"""Every system of Guo, Qin and Agar, "Understanding Experimental Data by Identifying Symmetries with Deep Learning",
from small modules, each of which cites the paper that it comes from. `listed` has them all, `table` their parts.

Representations: `spectra` (Fourier, Radon) and `symmetry_filter`; `stn`, a spatial transformer, comes before them.
Layers: `group_conv`, `harmonic` and `reparam`, with the kernels of `kernels`. `fpn` is a feature pyramid, `losses` what
is minimised, `mistakes` losses that know the tree, `network` joins representation, backbone and head.
"""

from .listed import SYSTEMS, system_named
from .losses import supervised_contrastive
from .network import QUESTIONS, Network, Part, Questions, assembled, parts_of
from .table import BACKBONES, BUNDLED, LOSSES, MAPS, REPRESENTATIONS, Sizes, System, build, centred_side

__all__ = [
    "BACKBONES",
    "BUNDLED",
    "LOSSES",
    "MAPS",
    "QUESTIONS",
    "REPRESENTATIONS",
    "SYSTEMS",
    "Network",
    "Part",
    "Questions",
    "Sizes",
    "System",
    "assembled",
    "build",
    "centred_side",
    "parts_of",
    "supervised_contrastive",
    "system_named",
]
