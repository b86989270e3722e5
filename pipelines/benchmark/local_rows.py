"""Rows of local classifiers: HiClass, with logistic regressions over features or numbers.

Miranda, Koehnecke and Renard, "HiClass: a Python library for local hierarchical classification compatible with
scikit-learn", JMLR 2023.
"""

from __future__ import annotations

import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from ...hierarchy import CompiledTree, load_tree
from ...hierarchy.tree import Tree
from ...models.systems import SYSTEMS, System, parts_of
from .bench import Bench, Clock, Outcome, Report
from .data import evidence_of
from .fit import features_of
from .pixel_rows import trained

Floats = NDArray[np.float64]
ITERATIONS = 1000  # of a logistic regression


def can_be_run() -> bool:
    """Whether HiClass is installed."""
    return find_spec("hiclass") is not None


def on_features(
    name: str, system: System, count: int, bench: Bench, plan: CompiledTree, work: Path, after: Report
) -> Outcome:
    """HiClass on the features of another row's network, which is trained here if that row has not been run."""
    base = SYSTEMS[system.of]
    (part,) = parts_of(base.questions, plan)
    network, seen, _ = trained(system.of, base, 0, part, count, bench, plan, work, after)
    features = {
        key: features_of(network, s.images[: count if key == "train" else None], bench.device)
        for key, s in bench.sets.items()
    }
    parameters = sum(p.numel() for p in network.parameters())
    outcome = _fitted(system, features, count, bench, plan)
    seconds = outcome.seconds + Clock(work / "clock.json").total()
    return Outcome(outcome.logp, seen, seconds, parameters + outcome.parameters, {}, False)


def on_numbers(
    name: str, system: System, count: int, bench: Bench, plan: CompiledTree, work: Path, after: Report
) -> Outcome:
    """HiClass on the numbers that stand beside symmetry maps."""
    found = {key: evidence_of(s, key, bench.device, bench.reporter.stage) for key, s in bench.sets.items()}
    numbers = {key: e.numbers[: count if key == "train" else None].double().numpy() for key, e in found.items()}
    extra = found["train"].seconds * count / len(bench.sets["train"])
    outcome = _fitted(system, numbers, count, bench, plan)
    return Outcome(outcome.logp, count, outcome.seconds + extra, outcome.parameters, {}, False)


def _fitted(system: System, features: dict[str, Floats], count: int, bench: Bench, plan: CompiledTree) -> Outcome:
    """Local classifiers fitted to the features (N, D) of the training images, and their answers on all sets."""
    from hiclass import LocalClassifierPerLevel, LocalClassifierPerParentNode

    started = time.monotonic()
    tree = load_tree(system.tree or bench.preset.tree)
    ways = np.array(padded([way(tree, label) for label in plan.labels]), dtype=object)
    kind: Any = LocalClassifierPerParentNode if system.local == "parent" else LocalClassifierPerLevel
    local = make_pipeline(StandardScaler(), LogisticRegression(max_iter=ITERATIONS))
    model = kind(local_classifier=local).fit(features["train"], ways[bench.targets("train", plan)[:count].numpy()])
    logp = {
        key: chosen(model.predict(values[: bench.measured(key, count)]), plan.labels)
        for key, values in features.items()
    }
    fitted = [model.hierarchy_.nodes[node].get("classifier") for node in model.hierarchy_.nodes]
    fitted += list(getattr(model, "local_classifiers_", []))
    weights = sum(
        f[-1].coef_.size + f[-1].intercept_.size for f in fitted if hasattr(f, "steps") and hasattr(f[-1], "coef_")
    )
    return Outcome(logp, count, time.monotonic() - started, weights)


def way(tree: Tree, label: str) -> list[str]:
    """The nodes below the root that lead to `label`, and the label: a row of HiClass's hierarchy."""
    return [*[node for node, _ in tree.path(label)][1:], label]


def padded(rows: list[list[str]]) -> list[list[str]]:
    """All of the same length, with empty names at the end."""
    most = max(map(len, rows))
    return [row + [""] * (most - len(row)) for row in rows]


def chosen(rows: NDArray[Any], labels: tuple[str, ...]) -> Tensor:
    """Log-probabilities (N, L): 0 for the last name in each row (N, levels), which is a label; else -inf."""
    logp = torch.full((len(rows), len(labels)), -torch.inf)
    for n, row in enumerate(rows):
        last = next((str(name) for name in row[::-1] if str(name)), "")
        logp[n, labels.index(last)] = 0.0
    return logp
