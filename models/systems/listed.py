"""The systems that are compared, a line for each; any timm model by its name is one more."""

from __future__ import annotations

import difflib

import timm

from ...hierarchy import UnknownNameError
from .table import BUNDLED, MAPS, System

TABLE_1, ROUTE_1, ROUTE_2, ROUTE_3, OURS = "table 1", "preprocessing", "equivariant layers", "workflow", "ours"
SYSTEMS: dict[str, System] = {
    "resnet": System(TABLE_1, "ResNet on pixels", backbone="resnet"),
    "densenet": System(TABLE_1, "DenseNet on pixels", backbone="densenet"),
    "fpn": System(TABLE_1, "feature pyramid on a ResNet", backbone="pyramid"),
    "xcit": System(TABLE_1, "XCiT on pixels", backbone="xcit"),
    "flat": System(TABLE_1, "the small backbone of the rows below, on pixels"),
    "fft": System(ROUTE_1, "log magnitude of the Fourier transform", "fft"),
    "radon": System(ROUTE_1, "Radon transform", "radon"),
    "filter": System(ROUTE_1, "symmetry filter in every window", "filter"),
    "filter-centres": System(
        ROUTE_1, "symmetry filter at hand-picked centres, five classes: order of rotation", "filter at centres",
        "dense", questions="root", tree="wallpaper", centred=True,
    ),
    "group-4": System(ROUTE_2, "group convolution, 4 rotations", backbone="group 4"),
    "group-6": System(ROUTE_2, "group convolution, 6 rotations", backbone="group 6"),
    "group-8": System(ROUTE_2, "group convolution, 8 rotations", backbone="group 8"),
    "group-12": System(ROUTE_2, "group convolution, 12 rotations", backbone="group 12"),
    "group-4-mirror": System(ROUTE_2, "group convolution, 4 rotations and mirrors", backbone="group 4 mirror"),
    "group-12-mirror": System(ROUTE_2, "group convolution, 12 rotations and mirrors", backbone="group 12 mirror"),
    "harmonic": System(ROUTE_2, "harmonic convolution", backbone="harmonic"),
    "shared": System(ROUTE_2, "parameter sharing learnt by reparameterisation", backbone="shared", loss="meta"),
    "transformer": System(ROUTE_3, "spatial transformer in front", "spatial transformer"),
    "contrastive": System(ROUTE_3, "supervised contrastive loss", loss="contrastive"),
    "rotation-3": System(ROUTE_3, "three classes: no rotation, 2-fold, 3-fold", questions="root", tree="paper"),
    "levels": System(ROUTE_3, "a network for each level, assembled", questions="levels"),
    "nodes": System(ROUTE_3, "a network for each node, assembled", questions="nodes"),
    "soft-labels": System(ROUTE_3, "labels softened by the distance in the tree", loss="soft labels"),
    "hierarchical": System(ROUTE_3, "hierarchical cross-entropy", loss="hierarchical"),
    "hiclass-parent": System(
        ROUTE_3, "features of `flat`, HiClass with a classifier for each parent node", local="parent", of="flat"
    ),
    "hiclass-level": System(
        ROUTE_3, "features of `flat`, HiClass with a classifier for each level", local="level", of="flat"
    ),
    "maps-flat": System(OURS, "symmetry maps, all groups at once", MAPS),
    "maps-tree": System(OURS, "symmetry maps, a network for each node, assembled", MAPS, questions="nodes"),
    "maps-hiclass-parent": System(
        OURS, "numbers beside the symmetry maps, HiClass with a classifier for each parent node", MAPS, local="parent"
    ),
    "maps-hiclass-level": System(
        OURS, "numbers beside the symmetry maps, HiClass with a classifier for each level", MAPS, local="level"
    ),
    "bundled": System(OURS, "the model that comes with hier, as it is", BUNDLED),
}  # fmt: skip


def system_named(name: str) -> System:
    """The system of that name, or the backbone of that name in timm, on pixels; UnknownNameError with similar names."""
    if name in SYSTEMS:
        return SYSTEMS[name]
    if timm.is_model(name):
        return System("timm", f"{name} on pixels", backbone=name)
    near = difflib.get_close_matches(name, timm.list_models(), 3, 0.6)
    hint = f"; in timm: {', '.join(near)}" if near else "; any timm model, too"
    raise UnknownNameError("system", name, SYSTEMS, hint)
