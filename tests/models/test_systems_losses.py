"""Losses that know the tree, against their definitions."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hier.hierarchy import compile_tree, load_tree
from hier.hierarchy.compiled import heights
from hier.models.systems import LOSSES, Sizes, System, build, parts_of
from hier.models.systems.mistakes import hierarchical_cross_entropy, soft_labels
from torch import Tensor

TREE = load_tree("wallpaper")
PLAN = compile_tree(TREE)
APART = torch.from_numpy(heights(PLAN))


def random() -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return 3 * torch.randn(40, 17, dtype=torch.double), torch.randint(17, (40,))


def test_without_decay_it_is_the_cross_entropy() -> None:
    logits, targets = random()
    found = hierarchical_cross_entropy(logits, targets, APART, 0.0)
    assert found == pytest.approx(F.cross_entropy(logits, targets, reduction="none").float(), abs=1e-5)


def test_hierarchical_cross_entropy_is_a_sum_over_the_way_to_the_label() -> None:
    """Equation 3, by the tree itself: conditional probabilities of choices, weighted by the height below them."""
    logits, targets = random()
    p = logits.softmax(1)
    found = hierarchical_cross_entropy(logits, targets, APART, 0.4)
    for n, target in enumerate(targets.tolist()):
        way = TREE.path(PLAN.labels[target])
        loss, upper = 0.0, range(17)
        for k, (node, choice) in enumerate(way):
            lower = [label for label in upper if dict(TREE.path(PLAN.labels[label])).get(node) == choice]
            chance = float(p[n, lower].sum() / p[n, list(upper)].sum())
            loss -= math.exp(-0.4 * (len(way) - 1 - k)) * math.log(chance)
            upper = lower  # type: ignore[assignment]
        assert loss == pytest.approx(float(found[n]), abs=1e-4)


def test_soft_labels_prefer_near_mistakes() -> None:
    p4m, p4g, p3 = (PLAN.labels.index(name) for name in ("p4m", "p4g", "p3"))
    targets = torch.tensor([p4m])

    def cost(answer: int) -> float:
        logits = torch.zeros(1, 17)
        logits[0, answer] = 4.0
        return float(soft_labels(logits, targets, APART))

    assert cost(p4m) < cost(p4g) < cost(p3)
    hard = soft_labels(torch.randn(1, 17), targets, APART, 1e4)
    assert hard.shape == (1,)
    logits, targets = random()
    plain = F.cross_entropy(logits, targets, reduction="none").float()
    assert soft_labels(logits, targets, APART, 1e4) == pytest.approx(plain, abs=1e-4)


@pytest.mark.parametrize("name", ["soft labels", "hierarchical"])
def test_they_train_a_network_and_refuse_other_questions(name: str) -> None:
    torch.manual_seed(0)
    (part,) = parts_of("flat", PLAN)
    network = build(System("", "", backbone="small", loss=name), Sizes(48, 8, {"small": "test_resnet"}), part)
    loss = LOSSES[name](network.width)
    images, targets = torch.rand(8, 3, 48, 48), torch.arange(8)[:, None]
    optimiser = torch.optim.AdamW(network.parameters(), 1e-2)
    values = []
    for _ in range(12):
        value, logits = loss(network, images, targets)
        assert logits.shape == (8, 17)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        values.append(float(value.detach()))
    assert values[-1] < 0.7 * values[0]
    levels = parts_of("levels", PLAN)[1]
    other = build(System("", "", backbone="small"), Sizes(48, 8, {"small": "test_resnet"}), levels)
    with pytest.raises(ValueError, match="the labels of a tree"):
        loss(other, images, levels.answers[:8])
