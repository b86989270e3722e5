"""Every system of Guo, Qin and Agar, "Understanding Experimental Data by Identifying Symmetries with Deep Learning",
from small modules, each of which cites the paper that it comes from. `table` says what there is."""

from .losses import supervised_contrastive
from .network import QUESTIONS, Network, Part, Questions, assembled, parts_of
from .table import BACKBONES, LOSSES, MAPS, REPRESENTATIONS, SYSTEMS, Sizes, System, build, centred_side, system_named

__all__ = [
    "BACKBONES",
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
