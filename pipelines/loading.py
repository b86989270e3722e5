"""`hier.load` and `hier.load_node`: a model by its folder, its card or its name in MLflow's registry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..models.bundle import BUNDLED, BundleError, find_card, load_bundle
from ..models.classifier import Classifier, check_device
from ..models.evidence.representation import SymmetryEvidence
from ..models.routing.router import Router
from ..models.saved import REGISTRY
from .answering.asked import Asked, Vectors
from .answering.predict import Predictor
from .straightening.options import Metric, Mode, Rectification, metric_change, taken_out


def load(
    model: Path | str | Sequence[Path | str] | None = None,
    device: str = "cpu",
    router: Router = "soft",
    min_confidence: float | None = None,
    tolerance: float | None = None,
    strain: float | None = None,
    rectify: Mode = "auto",
    metric: Metric = "auto",
    focal: float | None = None,
    regions: bool = False,
    basis: Vectors | None = None,
    refine: bool = True,
    group: str | None = None,
    origin: Sequence[float] | None = None,
) -> Predictor:
    """A predictor from a bundle's folder or card or ``models:/NAME@ALIAS``; the bundled one, offline, by default.

    Several models of one tree are an ensemble. `min_confidence` is what a statement must reach: 0, and 0.9 under the
    router ``climb``. `tolerance` in (0, 1) is the largest misfit of an operation that counts as a symmetry: 0.02 asks
    for exactness, 0.2 for the idea behind handwork. Without one the model judges by how exact the image is otherwise.

    `strain` is the largest unknown linear distortion that a group may need, as a change of lengths at constant area:
    0.1 takes out up to 10 % where that makes operations hold, 0.005 takes a cell whose sides differ by more than 1 %
    for no square; 0.0375 if left out, which is not taken out. `rectify` straightens bent images: ``auto`` where that
    helps, ``affine`` allows for linear distortions only, ``perspective`` and ``smooth`` try that one,
    ``none`` nothing. `metric` is ``unknown`` where lengths are no evidence; ``auto`` takes them for evidence, but not
    after a perspective whose `focal` length (relative to the longer side) is not given. See `Rectification`.

    With `regions` the parts of every image in which one lattice repeats are found and answered; without, only those of
    images that are not periodic otherwise. See `Prediction`.

    `basis` is the lattice to use: the two vectors of a cell, primitive or centred, ``[(ax, ay), (bx, by)]`` in px of
    the image, x right and y down; moved to the nearest lattice on which it repeats best, unless `refine` is False.
    `group` is judged as if it were the answer, drawn and exported; the answer is given beside it. `origin` (x, y) px is
    the point next to which the group's origin is to lie. All apply to every image; an image that is too small for the
    lattice cannot be used.

    >>> import hier, numpy as np
    >>> x = np.arange(200)
    >>> waves = np.cos(x / 4)[:, None] + np.cos(x / 4)[None]
    >>> hier.load().predict(waves)[0].group
    'p4m'
    """
    rectification = Rectification(rectify, metric, taken_out(strain), focal)
    asked = Asked.of(basis, refine, group, origin)
    check_device(device)
    classifier = Classifier.load(cards_of(model), device, metric_change(strain))
    return Predictor(classifier, router, min_confidence, tolerance, rectification, regions, asked)


def cards_of(model: Path | str | Sequence[Path | str] | None = None) -> list[Path]:
    """The cards of the models that `load` would read, fetched from the registry where that is where they are.

    None stands for the bundled model; BundleError for an empty list, or what is no model.
    """
    several = [model] if isinstance(model, (Path, str)) else [BUNDLED] if model is None else list(model)
    if not several:
        raise BundleError("no model named: give a folder, a card or models:/NAME@ALIAS, or None for the bundled one")
    return [find_card(_local(m)) for m in several]


def _local(model: Path | str) -> Path:
    if not str(model).startswith(REGISTRY):
        return Path(model)
    from .tracking.registry_files import local_model  # a bundle on this disk needs no MLflow

    return local_model(model)


def load_node(card: Path | str) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """The classifier of a bundle with a single node, as a function.

    It takes images (B, C, H, W) in [0, 1] and returns the probabilities (B, k) of the node's choices, in the order of
    the card. Raises BundleError for a bundle that is damaged or has several nodes.
    """
    bundle = load_bundle(Path(card))
    if len(bundle.nodes) != 1:
        raise BundleError(f"{card} has {len(bundle.nodes)} nodes, one is needed: load the whole with hier.load")
    (node,) = bundle.nodes.values()
    represent = SymmetryEvidence()

    @torch.inference_mode()
    def probabilities(images: NDArray[np.float32]) -> NDArray[np.float32]:
        evidence = represent(torch.as_tensor(np.asarray(images, dtype=np.float32)))
        found: NDArray[np.float32] = node.log_probabilities(evidence.maps, evidence.numbers).exp().numpy()
        return found

    return probabilities
