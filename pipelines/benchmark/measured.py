"""The figures of one row on one set."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix
from torch import Tensor

from ...hierarchy import CompiledTree
from ...hierarchy.compiled import heights
from ...models.routing.router import winners

LEAST = 1e-6  # probabilities below count as this in the log loss, as in a release's score


def measure(
    plan: CompiledTree, root: bool, logp: Tensor, right: NDArray[np.bool_], probabilities: bool = True
) -> tuple[dict[str, float], list[list[int]]]:
    """Figures and confusion matrix of log-probabilities (N, K) of the tree's labels, or with `root` its first choices.

    `right` (N, L) are acceptable labels; of several, the answer's confusion is with the first. The figures:
    ``accuracy``, ``loss`` in nats; for labels ``severity_1`` and ``severity_5``, the mean height of the lowest common
    ancestor of the truth and the answer (of mistakes alone), or the first five answers (Bertinetto et al., 2020), and
    ``bayes`` and ``bayes_severity_1``, accuracy and severity of the answers of least expected cost. Without
    `probabilities` only those that need the answer alone.
    """
    truth, K = torch.from_numpy(right.argmax(1)), logp.shape[1]
    if root:
        first = plan.answers[0].astype(np.int64)
        right = np.stack([right[:, first == k].any(1) for k in range(K)], 1)
        truth = torch.from_numpy(first)[truth]
    answer = logp.argmax(1)
    n = np.arange(len(logp))
    hits = right[n, answer]
    figures = {"accuracy": float(hits.mean())}
    if probabilities:
        figures["loss"] = float(F.nll_loss(logp.clamp_min(math.log(LEAST)), truth))
    if not root:
        apart = torch.from_numpy(heights(plan)).double()
        figures["severity_1"] = _severity(apart, truth, answer, hits)
        if probabilities:
            best = logp.argsort(dim=1, descending=True, stable=True)[:, :5]
            figures["severity_5"] = float(apart[truth[:, None], best].mean())
            cheap = winners(plan, logp, "bayes")
            figures["bayes"] = float(right[n, cheap].mean())
            figures["bayes_severity_1"] = _severity(apart, truth, cheap, right[n, cheap])
    return figures, confusion_matrix(truth, answer, labels=np.arange(K)).tolist()


def _severity(apart: Tensor, truth: Tensor, answer: Tensor, hits: NDArray[np.bool_]) -> float:
    """Mean height of the mistakes; 0 where there are none."""
    wrong = torch.from_numpy(~hits)
    return float(apart[truth, answer][wrong].mean()) if bool(wrong.any()) else 0.0
