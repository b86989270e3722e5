"""Metrics on answers small enough to count by hand, and on random ones against scikit-learn."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hier.hierarchy import GROUP_NAMES, compile_tree, load_tree
from hier.models.routing.partial import Statements
from hier.pipelines.measuring import metrics as m
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, log_loss

PLAN = compile_tree(load_tree("wallpaper"))


def at(*names: str) -> m.Ints:
    return np.array([GROUP_NAMES.index(name) for name in names])


TRUTH = at("p4m", "p4m", "p4g", "p1", "pm")
ANSWER = at("p4m", "p4", "p4m", "p2", "cm")


def test_levels_count_those_whose_path_has_one_and_that_are_right_so_far() -> None:
    found = m.by_level(PLAN, TRUTH, ANSWER)
    assert found["rotation"].accuracy == 4 / 5
    assert found["rotation"].balanced == pytest.approx((3 / 3 + 1 / 2) / 2)
    assert found["reflection"].accuracy == 3 / 5
    assert found["finer"].accuracy == 1 / 4, "p1 has no finer level"


def test_a_node_answers_for_its_own_the_end_for_those_who_came() -> None:
    chosen = {name: np.zeros(5, dtype=np.int64) for name in PLAN.nodes}
    alone, end = m.by_node(PLAN, TRUTH, chosen), m.end_to_end(PLAN, TRUTH, ANSWER)
    assert set(alone) == set(end) == {"rotation", "reflection-1", "finer-1", "reflection-4", "finer-4"}
    assert alone["finer-4"] == m.Share(2 / 3, 1 / 2), "its first choice is p4m"
    assert end["finer-4"] == m.Share(1 / 3, 1 / 4)
    assert end["reflection-4"].accuracy == 2 / 3
    assert end["reflection-1"].accuracy == 1 / 2, "p1 went elsewhere"


@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_balanced_accuracy_is_that_of_scikit_learn(seed: int, count: int) -> None:
    truth, answer = np.random.default_rng(seed).integers(0, 5, (2, count))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = balanced_accuracy_score(truth, answer)
    assert m.share(truth, answer).balanced == pytest.approx(want)


def test_a_node_does_not_answer_for_images_that_it_did_not_see() -> None:
    chosen = {name: np.zeros(5, dtype=np.int64) for name in PLAN.nodes}
    chosen["finer-4"] = np.array([0, -1, 0, -1, -1])
    chosen["finer-1"] = np.full(5, -1)
    found = m.by_node(PLAN, TRUTH, chosen)
    assert found["finer-4"] == m.Share(1 / 2, 1 / 2), "of a p4m and a p4g"
    assert "finer-1" not in found


@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_losses_are_those_of_scikit_learn_and_of_the_definition(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    p, truth = rng.dirichlet(np.ones(5), count), rng.integers(0, 5, count)
    p = (p + 1e-4) / (p + 1e-4).sum(1, keepdims=True)
    assert m.log_loss(np.log(p), truth) == pytest.approx(log_loss(truth, p, labels=range(5)), abs=1e-9)
    naive = np.mean([sum((p[i, k] - (k == truth[i])) ** 2 for k in range(5)) for i in range(count)])
    assert m.brier(p, truth) == pytest.approx(naive, abs=1e-9)


def test_hierarchical_precision_and_recall_by_hand() -> None:
    # p4m: order 4, reflection, p4m; predicted p4: order 4, no reflection
    assert m.hierarchical(PLAN, at("p4m"), at("p4")) == {"precision": 1 / 2, "recall": 1 / 3, "f": pytest.approx(0.4)}
    assert m.hierarchical(PLAN, at("p4m"), at("p4g"))["f"] == pytest.approx(2 / 3)
    assert m.hierarchical(PLAN, at("p4m"), at("p6m"))["f"] == 0
    assert m.hierarchical(PLAN, TRUTH, TRUTH) == {"precision": 1, "recall": 1, "f": 1}


def test_errors_by_where_they_leave_the_path_and_by_what_they_claim() -> None:
    assert m.depths(PLAN, TRUTH, ANSWER) == {"rotation": 1, "reflection": 1, "finer": 2}
    found = m.relations(PLAN.labels, TRUTH, ANSWER)
    assert found == {"subgroup": 1, "supergroup": 2, "unrelated": 1}
    assert m.relation("p4m", "p4") == "subgroup"
    assert m.relation("p4g", "p4m") == "supergroup"
    assert m.relation("pm", "cm") == m.relation("cm", "pm") == m.relation("p4", "p3") == "unrelated"
    assert m.relations(("cat", "dog"), np.array([0]), np.array([1])) == {}


def test_brier_and_log_loss_by_hand() -> None:
    p = np.array([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0]])
    truth = np.array([0, 0])
    assert m.brier(p, truth) == pytest.approx(((0.3**2 + 0.2**2 + 0.1**2) + 2) / 2)
    with np.errstate(divide="ignore"):
        assert m.log_loss(np.log(p), truth) == pytest.approx((-np.log(0.7) - np.log(1e-6)) / 2)


def test_calibration_error_by_hand_and_of_honest_answers() -> None:
    found = m.reliability(np.array([0.95, 0.95, 0.95, 0.31]), np.array([True, True, False, True]))
    assert found.count.sum() == 4
    assert found.error == pytest.approx((3 * abs(0.95 - 2 / 3) + 0.69) / 4)
    assert m.reliability(np.array([1.0]), np.array([True])).error == 0
    rng = np.random.default_rng(0)
    confidence = rng.random(100_000)
    assert m.reliability(confidence, rng.random(100_000) < confidence).error < 0.01


def test_a_careful_answer_says_less_and_errs_less() -> None:
    rng = np.random.default_rng(1)
    logits = 4 * rng.standard_normal((4000, 17))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    truth = (p.cumsum(1) > rng.random((4000, 1))).argmax(1)  # drawn from p: calibrated
    known = Statements(PLAN)
    found = m.risk_coverage(known, np.log(p), truth)
    assert found.coverage[0] == found.labels[0] == 1
    assert found.risk[0] == pytest.approx((p.argmax(1) != truth).mean())
    assert found.f[0] == pytest.approx(m.hierarchical(PLAN, truth, p.argmax(1))["f"])
    assert (found.coverage[-1], found.risk[-1]) == (0, 0), "the root is always right"
    assert (np.diff(found.coverage) <= 0).all()
    for threshold, risk in zip(found.threshold[1:-1], found.risk[1:-1], strict=True):
        assert risk <= 1 - threshold + 0.02, "what is said with p is wrong at most as often as 1 - p"
    whole = m.risk_coverage(known, np.log(p), truth, m.sweep())
    assert 0 < whole.area < found.risk[0]
    assert [set(row) for row in found.rows()[:1]] == [{"threshold", "coverage", "risk", "labels", "f"}]
