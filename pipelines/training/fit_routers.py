"""What is fitted after training: temperatures of nodes, and what routers need. From outputs and truth, nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from ...hierarchy import CompiledTree, HierError
from ...models.routing.calibration import fit_temperature, temper
from ...models.routing.mixture import Fitted, Stack, features, fit_mix
from ...models.routing.router import FLAT, edges, soft

STRENGTH = 1.0  # inverse of the penalty on a stack's weights, for standardised features


@dataclass(frozen=True)
class Outputs:
    """Log-probabilities ``{node: (N, k)}`` for N patterns, and the index of their true label, `truth` (N,)."""

    nodes: Mapping[str, Tensor]
    truth: Tensor

    def tempered(self, temperatures: Mapping[str, float]) -> Outputs:
        """The same after calibration of the nodes."""
        return Outputs({n: temper(x, temperatures.get(n, 1.0)) for n, x in self.nodes.items()}, self.truth)


def targets_at(plan: CompiledTree, node: str, truth: Tensor) -> Tensor:
    """The right choice at a node for images of the labels `truth` (N,), -1 for those that do not belong below it.

    For the flat head the label itself.
    """
    if node == FLAT:
        return truth
    return torch.from_numpy(plan.choices_at(node))[truth]


def fit_temperatures(plan: CompiledTree, found: Outputs) -> dict[str, float]:
    """A temperature for each node, from the images that belong below it, and for the flat head where there is one."""
    made = {}
    for name in (*plan.nodes, FLAT):
        if name in found.nodes:
            want = targets_at(plan, name, found.truth)
            made[name] = fit_temperature(found.nodes[name][want >= 0], want[want >= 0])
    return made


def fit_routers(plan: CompiledTree, found: Outputs) -> Fitted:
    """Temperature after routing, mix with the flat head and stack, from outputs that are tempered already.

    The images must not be those that the temperatures were fitted to. HierError when a label has none.
    """
    joint = soft(plan, found.nodes)
    temperature = fit_temperature(joint, found.truth)
    flat = found.nodes.get(FLAT)
    stack = fit_stack(plan, features(edges(plan, found.nodes), flat), found.truth)
    if flat is None:
        return Fitted(temperature, stack=stack)
    how, weight = fit_mix(temper(joint, temperature), flat, found.truth)
    return Fitted(temperature, how, weight, stack)


def fit_stack(plan: CompiledTree, found: Tensor, truth: Tensor) -> Stack:
    """A multinomial logistic regression from `mixture.features` to labels; the scaling is part of its arrays."""
    missing = [label for i, label in enumerate(plan.labels) if not (truth == i).any()]
    if missing:
        raise HierError(f"a stack needs images of every label; there are none of {', '.join(missing)}")
    scaler = StandardScaler()
    x = scaler.fit_transform(found.double().numpy())
    fit = LogisticRegression(C=STRENGTH, max_iter=2000).fit(x, truth.numpy())
    weight, bias = fit.coef_, fit.intercept_
    if len(plan.labels) == 2:  # scikit-learn has one row for two classes
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    weight = weight / scaler.scale_
    bias = bias - weight @ scaler.mean_
    return Stack(torch.from_numpy(weight).float(), torch.from_numpy(bias).float())
