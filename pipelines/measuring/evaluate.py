"""Evaluate: the accuracy of a classifier on generated patterns or on a folder of labelled images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import confusion_matrix
from torch import Tensor

from ...datasets import OF_VIEW, Corruption, NonPatternDataset, PatternDataset, split_pool
from ...hierarchy import GROUP_NAMES, HierError, UnknownNameError, group
from ...models.classifier import Answer, Classifier
from ...models.evidence.groups import highest_within
from ...models.routing.partial import Statements
from ...models.routing.router import Router
from ..generating.evidence import EvidenceSet, gather
from ..generating.parts import Part
from ..reading.images import images_in
from ..straightening.options import AS_IT_IS, WHERE_IT_HELPS, Rectification
from . import metrics
from .files import answer_files, straight

REFUSED = 64  # non-patterns that are answered together
STRAIGHTENED = 16  # distorted patterns


@dataclass(frozen=True)
class Report:
    """Figures on `count` images. All accuracies in [0, 1].

    `accuracy` and `loss` (mean negative log-probability, nats) at the leaves; `levels`: right down to that level,
    among images whose path has it; `nodes`: right choice among the images that belong below the node, where a node
    was run only for images that reached it (a folder under ``hard``) among those of them; `confusion[i][j]` images of
    ``labels[i]`` predicted as ``labels[j]``; `refused` images rejected by the gate; `errors` the files that could not
    be read.

    `balanced` are the accuracies of ``group``, ``levels`` and ``nodes`` as means over the true choices; `end_to_end`
    accuracy and balanced accuracy at nodes, of the final answer. `ece` is the expected calibration error (15 bins of
    equal width), `brier` from 0 to 2, `hierarchical` precision, recall and F of ancestors. Wrong answers are counted
    in `mistakes` by their relation to the truth (subgroup, supergroup, unrelated) and in `mistake_levels` by where they
    leave its path; `wrong` lists them: image (its file, or its number), truth, answer, probability. `risk_coverage` is
    the quality of partial answers, `aurc` its summary. See `metrics`.
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
    balanced: dict[str, Any]
    end_to_end: dict[str, dict[str, float]]
    ece: float
    brier: float
    hierarchical: dict[str, float]
    mistakes: dict[str, int]
    mistake_levels: dict[str, int]
    risk_coverage: list[dict[str, float]]
    aurc: float
    disagreement: float | None
    wrong: list[dict[str, Any]]

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
    tolerance: float | None = None,
    rectification: Rectification = AS_IT_IS,
) -> Report:
    """On images 0 to `count` of a dataset; its photographs, if any, come from the validation split.

    At a `tolerance` the right answer is the group that holds within it on the pattern before instruments spoilt it.
    Patterns that the dataset distorts are straightened as `rectification` says, one by one. HierError for a tolerance
    then: what holds within it is not known of a bent pattern.
    """
    device = str(classifier.device)
    if photos is not None:
        split_pool(photos, "valid")  # SourceError at once, rather than from every process later
    part = Part(dataset, 0, count, photos, "valid")
    if rectification.mode != "none" and any(c.name in OF_VIEW for c in dataset.corruptions):
        if tolerance is not None:
            raise HierError("--tolerance: what holds within it is not known of distorted patterns: give --rectify none")
        answers = list(_straightened(classifier, part, router, rectification, advance))
        labels = tuple(dataset.label(k) for k in range(count))
        return report_of(classifier, answers, labels, {}, _of(dataset, photos, tolerance))
    found = gather([part], None, device, advance)
    answers = [decide(classifier, found, router, tolerance)]
    labels = found.labels
    if tolerance is not None and found.misfits is not None:
        within = highest_within(found.misfits[:, :-1], torch.full((len(found),), tolerance))
        labels = tuple(GROUP_NAMES[k] for k in within.tolist())
    return report_of(classifier, answers, labels, {}, _of(dataset, photos, tolerance))


def _of(dataset: PatternDataset, photos: Path | None, tolerance: float | None) -> dict[str, Any]:
    kept = ("source", "seed", "size", "orientation", "construction", "cells")
    data = {name: getattr(dataset, name) for name in kept}
    data |= {"own_photographs": photos is not None, "corruptions": [asdict(c) for c in dataset.corruptions]}
    return data | {"tolerance": tolerance}


def _straightened(
    classifier: Classifier, part: Part, router: Router, rectification: Rectification, advance: Callable[[int], None]
) -> Iterator[Answer]:
    """Answers to a part's images, as `hier predict` gives them to files."""
    whole = part.with_pictures()
    for k in range(part.start, part.stop, STRAIGHTENED):
        images = whole.batch(range(k, min(k + STRAIGHTENED, part.stop)), classifier.device)
        answer = classifier.answer(images, router)
        yield straight(classifier, images, answer, rectification, router=router)
        advance(len(images))


def outputs(
    classifier: Classifier, found: EvidenceSet, batch: int = 512, tolerance: float | None = None
) -> dict[str, Tensor]:
    """Every node's output for evidence, as `Classifier.outputs`, batch by batch: for one router or for several."""
    starts = range(0, len(found), batch)
    parts = [classifier.outputs(found.maps[k : k + batch], found.numbers[k : k + batch], tolerance) for k in starts]
    return {name: torch.cat([p[name] for p in parts], 1) for name in parts[0]}


def decide(
    classifier: Classifier, found: EvidenceSet, router: Router = "soft", tolerance: float | None = None
) -> Answer:
    """The answer to evidence."""
    return classifier.combine(outputs(classifier, found, tolerance=tolerance), router)


def evaluate_refusals(
    classifier: Classifier,
    dataset: NonPatternDataset,
    count: int,
    photos: Path | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> dict[str, float]:
    """Share of images 0 to `count` of a dataset of non-patterns that are rejected, as whole images: in all, by kind."""
    whole = Part(dataset, 0, count, photos, "valid").with_pictures()
    refused = np.zeros(count, bool)
    for k in range(0, count, REFUSED):
        indices = range(k, min(k + REFUSED, count))
        images = whole.batch(indices, classifier.device)
        refused[k : indices.stop] = (classifier.answer(images).pattern < 0.5).cpu().numpy()
        advance(len(indices))
    kinds = np.array([dataset.label(k) for k in range(count)])
    return {"all": float(refused.mean())} | {str(k): float(refused[kinds == k].mean()) for k in np.unique(kinds)}


def evaluate_folder(
    classifier: Classifier, folder: Path, router: Router = "soft", advance: Callable[[int], None] = lambda _: None,
    tolerance: float | None = None, rectification: Rectification = WHERE_IT_HELPS,
) -> Report:  # fmt: skip
    """On the images of ``folder/<label>/*``; names and symbols of groups are understood.

    Files that cannot be read are listed in `errors`; the others are evaluated. Raises HierError when there is no
    image, UnknownNameError for a subfolder that is not a label of the tree.
    """
    files = list(images_in(folder)) if folder.is_dir() else []
    if not files:
        raise HierError(f"no image in {folder}: it needs a labels.csv, or one subfolder of images for each label")
    names = {sub: _label(classifier, folder, sub) for sub in dict.fromkeys(sub for sub, _ in files)}
    answers: list[Answer] = []
    labels: list[str] = []
    names_of: list[str] = []
    errors: dict[str, str] = {}
    every = [file for _, file in files]
    for indices, answer in answer_files(classifier, every, router, errors, advance, tolerance, rectification):
        answers.append(answer)
        labels += [names[files[i][0]] for i in indices]
        names_of += [files[i][1].relative_to(folder).as_posix() for i in indices]
    if not answers:
        raise HierError(
            f"none of the {len(files)} images in {folder} can be read; the first: {next(iter(errors.items()))}"
        )
    data = {"folder": folder.name, "tolerance": tolerance}
    return report_of(classifier, answers, labels, errors, data, names_of)


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


def report_of(
    classifier: Classifier, answers: Sequence[Answer], labels: Sequence[str], errors: dict[str, str],
    data: dict[str, Any], images: Sequence[str | int] | None = None,
) -> Report:  # fmt: skip
    """The figures of answers to images of `labels`; `images` are their names, their numbers if left out."""
    plan = classifier.plan
    logp = torch.cat([a.log_probabilities for a in answers]).cpu().double().numpy()
    p = np.exp(logp)
    truth = np.array([plan.labels.index(name) for name in labels])
    best = torch.cat([a.winners for a in answers]).cpu().numpy()
    chosen = {name: _chosen(torch.cat([a.nodes[name] for a in answers])) for name in plan.nodes}
    overall, levels = metrics.share(truth, best), metrics.by_level(plan, truth, best)
    nodes = metrics.by_node(plan, truth, chosen)
    ends = metrics.end_to_end(plan, truth, best)
    known = Statements(plan)
    unsure = [a.disagreement for a in answers if a.disagreement is not None]
    return Report(
        accuracy=overall.accuracy,
        loss=metrics.log_loss(logp, truth),
        levels={name: s.accuracy for name, s in levels.items()},
        nodes={name: s.accuracy for name, s in nodes.items()},
        confusion=confusion_matrix(truth, best, labels=np.arange(len(plan.labels))).tolist(),
        labels=list(plan.labels),
        count=len(truth),
        refused=int((torch.cat([a.pattern for a in answers]) < 0.5).sum()),
        errors=errors,
        data=data,
        balanced={
            "group": overall.balanced,
            "levels": {name: s.balanced for name, s in levels.items()},
            "nodes": {name: s.balanced for name, s in nodes.items()},
        },
        end_to_end={name: asdict(s) for name, s in ends.items()},
        ece=metrics.calibration_error(p, best, truth),
        brier=metrics.brier(p, truth),
        hierarchical=metrics.hierarchical(plan, truth, best),
        mistakes=metrics.relations(plan.labels, truth, best),
        mistake_levels=metrics.depths(plan, truth, best),
        risk_coverage=metrics.risk_coverage(known, logp, truth).rows(),
        aurc=metrics.risk_coverage(known, logp, truth, metrics.sweep()).area,
        disagreement=float(torch.cat(unsure).mean()) if unsure else None,
        wrong=[
            {"image": images[i] if images else i, "truth": plan.labels[truth[i]], "answer": plan.labels[best[i]],
             "probability": float(p[i, best[i]])}
            for i in map(int, np.flatnonzero(truth != best))
        ],
    )  # fmt: skip


def _chosen(logp: Tensor) -> metrics.Ints:
    """The likeliest choice of every row (N, k); -1 for NaN, an image that did not reach the node."""
    found: metrics.Ints = torch.where(logp.isnan().any(1), -1, logp.argmax(1)).cpu().numpy()
    return found


def parse_corruptions(given: Sequence[str]) -> tuple[Corruption, ...]:
    """``NAME=SEVERITY`` to corruptions of exactly that severity; UnknownNameError or HierError."""
    from ...datasets import CORRUPTIONS

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
