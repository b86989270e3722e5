"""Evaluate: how right a classifier is on generated patterns or on anybody's folder of images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix
from torch import Tensor

from ..datasets import Corruption, NonPatternDataset, PatternDataset, split_pool
from ..hierarchy import GROUP_NAMES, HierError, UnknownNameError, group
from ..models.classifier import Answer, Classifier
from ..models.router import Router
from ..models.views import best_view
from .evidence import Part, gather
from .images import ImageError, images_in, read_image


@dataclass(frozen=True)
class Report:
    """Figures on `count` images. All accuracies in [0, 1].

    `accuracy` and `loss` (mean negative log-probability, nats) at the leaves; `levels`: right down to that level,
    among images whose path has it; `nodes`: right choice among the images that belong below the node;
    `confusion[i][j]` images of ``labels[i]`` taken for ``labels[j]``; `refused` those not held to be periodic;
    `errors` the files that could not be read.
    """

    accuracy: float
    loss: float
    levels: dict[str, float]
    nodes: dict[str, float]
    confusion: list[list[int]]
    labels: list[str]
    count: int
    refused: int
    errors: dict[str, str]
    data: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return asdict(self)


def evaluate_patterns(
    classifier: Classifier,
    dataset: PatternDataset,
    count: int,
    photos: Path | None = None,
    router: Router = "soft",
    advance: Callable[[int], None] = lambda _: None,
) -> Report:
    """On images 0 to `count` of a dataset; its photographs, if any, come from the validation split."""
    device = classifier.device.type
    if photos is not None:
        split_pool(photos, "valid")  # complains at once of what every process would find out later
    parts = [Part(dataset, 0, count, photos, "valid")]
    found = gather(parts, None, device, advance)
    starts = range(0, count, 512)
    answers = [classifier.decide(found.maps[k : k + 512], found.numbers[k : k + 512], router) for k in starts]
    kept = ("source", "seed", "size", "orientation", "construction", "cells")
    data = {name: getattr(dataset, name) for name in kept}
    data |= {"own_photographs": photos is not None, "corruptions": [asdict(c) for c in dataset.corruptions]}
    return _report(classifier, answers, found.labels, {}, data)


def evaluate_refusals(
    classifier: Classifier,
    dataset: NonPatternDataset,
    count: int,
    photos: Path | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> dict[str, float]:
    """Share of images 0 to `count` of a dataset of no patterns that are held to be none: in all, and by kind."""
    found = gather([Part(dataset, 0, count, photos, "valid")], None, classifier.device.type, advance)
    answers = [classifier.decide(found.maps[k : k + 512], found.numbers[k : k + 512]) for k in range(0, count, 512)]
    refused = (torch.cat([a.pattern for a in answers]) < 0.5).cpu().numpy()
    kinds = np.array(found.labels)
    return {"all": float(refused.mean())} | {str(k): float(refused[kinds == k].mean()) for k in np.unique(kinds)}


def evaluate_folder(
    classifier: Classifier, folder: Path, router: Router = "soft", advance: Callable[[int], None] = lambda _: None
) -> Report:
    """On the images of ``folder/<label>/*``; names and symbols of groups are understood.

    Files that cannot be read are listed in `errors` and the rest goes on. Raises HierError when there is no
    image, UnknownNameError for a subfolder that is no label of the tree.
    """
    files = list(images_in(folder)) if folder.is_dir() else []
    if not files:
        raise HierError(f"no image in {folder}: a folder with one subfolder of images for each label is needed")
    names = {sub: _label(classifier, folder, sub) for sub in dict.fromkeys(sub for sub, _ in files)}
    answers: list[Answer] = []
    labels: list[str] = []
    errors: dict[str, str] = {}
    batches: dict[tuple[int, ...], list[tuple[str, Tensor]]] = defaultdict(list)

    def flush(batch: list[tuple[str, Tensor]]) -> None:
        answers.append(classifier.answer(torch.stack([image for _, image in batch]), router))
        labels.extend(name for name, _ in batch)

    for sub, file in files:
        try:
            image = best_view(read_image(file)).image
        except ImageError as error:
            errors[str(file)] = str(error)
        else:
            batch = batches[tuple(image.shape)]
            batch.append((names[sub], image))
            if len(batch) == 16:
                flush(batches.pop(tuple(image.shape)))
        advance(1)
    for batch in batches.values():
        flush(batch)
    if not answers:
        raise HierError(
            f"none of the {len(files)} images in {folder} can be read; the first: {next(iter(errors.items()))}"
        )
    return _report(classifier, answers, labels, errors, {"folder": folder.name})


def folder_count(folder: Path) -> int:
    """How many images `evaluate_folder` would read."""
    return sum(1 for _ in images_in(folder)) if folder.is_dir() else 0


def _label(classifier: Classifier, folder: Path, name: str) -> str:
    if set(classifier.labels) <= set(GROUP_NAMES):
        with suppress(UnknownNameError):
            name = group(name).name
    if name not in classifier.labels:
        raise UnknownNameError(f"label: subfolder of {folder}", name, classifier.labels)
    return name


def _report(
    classifier: Classifier, answers: Sequence[Answer], labels: Sequence[str], errors: dict[str, str],
    data: dict[str, Any],
) -> Report:  # fmt: skip
    plan, tree = classifier.plan, classifier.bundle.tree
    logp = torch.cat([a.log_probabilities for a in answers]).cpu().numpy()
    truth = np.array([plan.labels.index(name) for name in labels])
    best = logp.argmax(1)
    levels = {}
    for k, level in enumerate(plan.levels):
        depth = plan.level_of_node == k
        here = (plan.answers[depth] >= 0).any(0)[truth]
        upto = plan.answers[plan.level_of_node <= k]
        same = (upto[:, truth] == upto[:, best]).all(0)
        if here.any():
            levels[level] = float(same[here].mean())
    nodes = {}
    for n, name in enumerate(plan.nodes):
        chosen = torch.cat([a.nodes[name] for a in answers]).argmax(1).cpu().numpy()
        want = plan.answers[n][truth]
        if (want >= 0).any():
            nodes[name] = float((chosen == want)[want >= 0].mean())
    return Report(
        accuracy=float((best == truth).mean()),
        loss=_loss(logp, truth),
        levels=levels,
        nodes=nodes,
        confusion=confusion_matrix(truth, best, labels=np.arange(len(tree.labels))).tolist(),
        labels=list(plan.labels),
        count=len(truth),
        refused=int((torch.cat([a.pattern for a in answers]) < 0.5).sum()),
        errors=errors,
        data=data,
    )


def _loss(logp: NDArray[np.float32], truth: NDArray[np.int64]) -> float:
    """Mean negative log-probability of the truth; a `hard` router's certainty is cut at 1e-6."""
    return float(-np.maximum(logp[np.arange(len(truth)), truth], np.log(1e-6)).mean())


def parse_corruptions(given: Sequence[str]) -> tuple[Corruption, ...]:
    """``NAME=SEVERITY`` to corruptions of exactly that severity; UnknownNameError or HierError."""
    from ..datasets import CORRUPTIONS

    made = []
    for text in given:
        name, _, value = text.partition("=")
        if name not in CORRUPTIONS:
            raise UnknownNameError("corruption", name, CORRUPTIONS)
        try:
            severity = float(value)
        except ValueError:
            severity = -1.0
        if not 0 <= severity <= 5:
            raise HierError(f"corruption {text!r}: give NAME=SEVERITY with a severity from 0 to 5")
        made.append(Corruption(name, (severity, severity)))
    return tuple(made)
