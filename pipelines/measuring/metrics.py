"""Accuracy down a tree, and calibration of probabilities: pure functions of arrays.

`truth` and `answer` (N,) are indices of labels, `p` (N, L) probabilities in the order of the labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import recall_score

from ...hierarchy import GROUP_NAMES, CompiledTree, is_subgroup
from ...models.routing.partial import Statements, climb

Ints = NDArray[np.int64]
Floats = NDArray[np.floating[Any]]
BINS = 15
THRESHOLDS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999, 1.0)


@dataclass(frozen=True)
class Share:
    """Share of right answers: among all images, and the mean of the shares of every true choice."""

    accuracy: float
    balanced: float


def share(truth: Ints, answer: Ints) -> Share:
    """Accuracy, and balanced accuracy over the choices that there are among `truth` (N > 0)."""
    balanced = recall_score(truth, answer, labels=np.unique(truth), average="macro", zero_division=0)
    return Share(float((truth == answer).mean()), float(balanced))


def by_level(plan: CompiledTree, truth: Ints, answer: Ints) -> dict[str, Share]:
    """Right down to each level, among the images whose path has a node at it; levels without one are left out.

    Balanced over the paths down to that level.
    """
    found = {}
    for k, level in enumerate(plan.levels):
        here = (plan.answers[plan.level_of_node == k] >= 0).any(0)[truth]
        upto = plan.answers[plan.level_of_node <= k].T
        _, way = np.unique(upto, axis=0, return_inverse=True)
        if here.any():
            found[level] = share(way.reshape(-1)[truth[here]], way.reshape(-1)[answer[here]])
    return found


def by_node(plan: CompiledTree, truth: Ints, chosen: Mapping[str, Ints]) -> dict[str, Share]:
    """Right choices of each node among the images that belong below it, the right parent given.

    `chosen` (N,) are the nodes' own choices, -1 for images that a node did not see: those do not count. Nodes without
    an image are left out.
    """
    found = {}
    for n, name in enumerate(plan.nodes):
        want = plan.answers[n][truth].astype(np.int64)
        here = (want >= 0) & (chosen[name] >= 0)
        if here.any():
            found[name] = share(want[here], chosen[name][here])
    return found


def end_to_end(plan: CompiledTree, truth: Ints, answer: Ints) -> dict[str, Share]:
    """The same of the final answers; those that never reached the node count as wrong there."""
    found = {}
    for name, answers in zip(plan.nodes, plan.answers.astype(np.int64), strict=True):
        want = answers[truth]
        if (want >= 0).any():
            found[name] = share(want[want >= 0], answers[answer][want >= 0])
    return found


def hierarchical(plan: CompiledTree, truth: Ints, answer: Ints) -> dict[str, float]:
    """Precision, recall and F of the sets of ancestors (the label itself among them, the root not), over all images.

    Kiritchenko, Matwin and Famili, 2005; recommended by Silla and Freitas, 2011, section 8.
    """
    return ancestors(plan.membership[answer], plan.membership[truth])


def ancestors(said: NDArray[np.bool_], true: NDArray[np.bool_]) -> dict[str, float]:
    """Hierarchical precision, recall and F from the edges (N, E) of the answers and the truth.

    An answer without any edge has precision 1.
    """
    both = int((said & true).sum())
    precision = both / said.sum() if said.any() else 1.0
    recall = both / true.sum()
    total = precision + recall
    f = 2 * precision * recall / total if total else 0.0
    return {"precision": float(precision), "recall": float(recall), "f": float(f)}


def depths(plan: CompiledTree, truth: Ints, answer: Ints) -> dict[str, int]:
    """Number of wrong answers by the level at which they leave the right path."""
    counts = dict.fromkeys(plan.levels, 0)
    for t, a in zip(truth, answer, strict=True):
        if t != a:
            apart = (plan.answers[:, t] >= 0) & (plan.answers[:, t] != plan.answers[:, a])
            counts[plan.levels[int(plan.level_of_node[int(np.argmax(apart))])]] += 1
    return counts


def relations(labels: Sequence[str], truth: Ints, answer: Ints) -> dict[str, int]:
    """Number of wrong answers that are ``subgroup``, ``supergroup`` or ``unrelated`` to the truth.

    A subgroup misses symmetry, a supergroup invents it. Types that hold each other (pm and cm, pmm and cmm, p3m1 and
    p31m) are unrelated: neither is the lesser. Empty for labels that are not wallpaper groups.
    """
    if not set(labels) <= set(GROUP_NAMES):
        return {}
    counts = {"subgroup": 0, "supergroup": 0, "unrelated": 0}
    for t, a in zip(truth, answer, strict=True):
        if t != a:
            counts[relation(labels[t], labels[a])] += 1
    return counts


def relation(truth: str, answer: str) -> str:
    """The relation of a wrong answer to the truth: see `relations`."""
    below, above = is_subgroup(answer, truth), is_subgroup(truth, answer)
    if below == above:
        return "unrelated"
    return "subgroup" if below else "supergroup"


def log_loss(logp: Floats, truth: Ints) -> float:
    """Mean negative log-probability of the truth, nats; a `hard` router's certainty is cut at 1e-6."""
    return float(-np.maximum(logp[np.arange(len(truth)), truth], np.log(1e-6)).mean()) + 0.0  # no minus zero


def brier(p: Floats, truth: Ints) -> float:
    """Mean squared distance of the probabilities from the truth, 0 to 2 (Brier, 1950)."""
    aim = np.eye(p.shape[1])[truth]
    return float(((p - aim) ** 2).sum(1).mean())


@dataclass(frozen=True)
class Reliability:
    """Answers in bins of equal width by the probability they came with: `confidence`, `accuracy`, `count` (bins,)."""

    confidence: Floats
    accuracy: Floats
    count: Ints

    @property
    def error(self) -> float:
        """Expected calibration error: mean distance of accuracy and confidence, weighed by the images of a bin."""
        total = self.count.sum()
        return float((np.abs(self.confidence - self.accuracy) * self.count).sum() / total) if total else 0.0


def reliability(confidence: Floats, right: NDArray[np.bool_], bins: int = BINS) -> Reliability:
    """Bins from 0 to 1 of the probability of the answer; empty ones have 0 everywhere (Naeini et al., 2015)."""
    at = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    count = np.bincount(at, minlength=bins)
    some = np.maximum(count, 1)
    return Reliability(
        np.bincount(at, confidence, bins) / some, np.bincount(at, right.astype(float), bins) / some, count
    )


def calibration_error(p: Floats, answer: Ints, truth: Ints) -> float:
    """Expected calibration error of the answers in `BINS` bins of equal width."""
    return reliability(p[np.arange(len(answer)), answer], answer == truth).error


@dataclass(frozen=True)
class RiskCoverage:
    """Partial answers at rising thresholds: how much they state, and how often they are wrong. All (T,).

    `coverage` is the mean share of the answer's information that is given, 1 - log(labels left open) / log(L): 1 for
    a label, 0 for the root. `risk` is the share of statements that are wrong, `labels` that of single labels, `f` the
    hierarchical F of the statements.
    """

    threshold: Floats
    coverage: Floats
    risk: Floats
    labels: Floats
    f: Floats

    @property
    def area(self) -> float:
        """Area under risk over coverage (AURC), by trapezoids, from the root's 0 and 0."""
        order = np.argsort(self.coverage, kind="stable")
        x, y = np.append(0.0, self.coverage[order]), np.append(0.0, self.risk[order])
        return float(np.trapezoid(y, x))

    def rows(self) -> list[dict[str, float]]:
        """One dictionary for each threshold."""
        names = ("threshold", "coverage", "risk", "labels", "f")
        return [{name: float(getattr(self, name)[i]) for name in names} for i in range(len(self.threshold))]


def risk_coverage(
    statements: Statements, logp: Floats, truth: Ints, thresholds: Sequence[float] = THRESHOLDS
) -> RiskCoverage:
    """Answers of `partial.climb` at `thresholds` against the truth."""
    given, rows = torch.from_numpy(np.asarray(logp)), []
    everything = np.log(len(statements.plan.labels))
    for threshold in thresholds:
        said = climb(statements, given, threshold).statement.numpy()
        size = statements.size[said]
        rows.append(
            (
                threshold,
                (1 - np.log(size) / everything).mean(),
                1 - statements.below[said, truth].mean(),
                (size == 1).mean(),
                ancestors(statements.edges[said], statements.plan.membership[truth])["f"],
            )
        )
    return RiskCoverage(*np.array(rows).T)


def sweep() -> Sequence[float]:
    """Thresholds dense near 1, where calibrated answers lie: what `RiskCoverage.area` is taken over."""
    return sorted({0.0, *(1 - 10.0 ** -np.linspace(0, 8, 81)), 1.0})
