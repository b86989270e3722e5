"""Costs of wrong answers: what follows from which group can hold which."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hier.hierarchy import GROUP_NAMES, compile_tree, group, is_subgroup, load_tree
from hier.models.routing.cost import INVENTED, cheapest, cost_matrix, group_costs

PAIRS = [(a, b) for a in GROUP_NAMES for b in GROUP_NAMES if a != b]


def cost(truth: str, answer: str) -> float:
    return float(group_costs()[GROUP_NAMES.index(truth), GROUP_NAMES.index(answer)])


def test_the_truth_alone_costs_nothing() -> None:
    assert (np.diag(group_costs()) == 0).all()
    assert all(cost(*pair) > 0 for pair in PAIRS)


def test_missing_a_symmetry_is_milder_than_inventing_it() -> None:
    for whole, part in PAIRS:
        if is_subgroup(part, whole) and not is_subgroup(whole, part):
            assert cost(part, whole) >= cost(whole, part), (whole, part)
    for whole, part in (("p2", "p1"), ("p4m", "p4"), ("p6m", "p3"), ("pmg", "pgg"), ("cmm", "pmg")):
        assert cost(part, whole) == pytest.approx(INVENTED * cost(whole, part)), (whole, part)


def test_what_is_missed_counts_by_how_many_operations_are_lost() -> None:
    assert cost("p4m", "p4") == 1
    assert cost("p4m", "p1") == 3
    assert cost("p6m", "p2") == pytest.approx(np.log2(6))
    for name in GROUP_NAMES:
        found = group(name)
        order = len(found.operations) // (2 if found.centred else 1)
        assert cost(name, "p1") == pytest.approx(np.log2(order))


def test_types_that_hold_each_other_are_no_modest_answers() -> None:
    for one, other in (("pm", "cm"), ("pmm", "cmm"), ("p3m1", "p31m")):
        assert cost(one, other) == cost(other, one) >= INVENTED


def test_an_unrelated_answer_costs_more_than_what_both_share() -> None:
    assert cost("p4", "p3") == pytest.approx(2 + INVENTED * np.log2(3))
    for truth, answer in PAIRS:
        assert cost(truth, answer) <= cost(truth, "p1") + cost("p1", answer)


def test_a_doubtful_symmetry_is_not_claimed() -> None:
    plan = compile_tree(load_tree("wallpaper"))
    costs = torch.from_numpy(cost_matrix(plan))
    p = torch.full((2, 17), 1e-9)
    p[:, GROUP_NAMES.index("p4")] = torch.tensor([0.45, 0.3])
    p[:, GROUP_NAMES.index("p4m")] = torch.tensor([0.55, 0.7])
    assert [GROUP_NAMES[i] for i in cheapest(p.log(), costs)] == ["p4", "p4m"]


def test_labels_that_are_no_groups_cost_the_steps_between_them() -> None:
    from hier.hierarchy import NodeSpec, Tree, TreeSpec

    inner = NodeSpec(name="inner", level="two", children={"x": "ox", "y": "cow"})
    tree = Tree.from_spec(TreeSpec(name="t", root=NodeSpec(name="r", level="one", children={"a": inner, "b": "hen"})))
    found = cost_matrix(compile_tree(tree))
    at = {label: i for i, label in enumerate(tree.labels)}
    assert found[at["ox"], at["cow"]] == 2
    assert found[at["ox"], at["hen"]] == found[at["hen"], at["ox"]] == 3
    assert (np.diag(found) == 0).all()
