"""Temperatures, against scikit-learn's; mixes and regressions of routers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hier.models.routing.calibration import COLDEST, fit_temperature, least, temper
from hier.models.routing.mixture import FAINTEST, MIXES, Stack, features, fit_mix, mix
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

seeds = st.integers(0, 2**32 - 1)


def drawn(seed: int, count: int = 400, k: int = 4) -> tuple[Tensor, Tensor]:
    """Log-probabilities and targets drawn from them: calibrated as they are."""
    generator = torch.Generator().manual_seed(seed)
    logp = (2 * torch.randn(count, k, generator=generator)).log_softmax(1)
    return logp, torch.multinomial(logp.exp(), 1, generator=generator)[:, 0]


@pytest.mark.parametrize("true", [0.4, 1.0, 2.5])
def test_a_temperature_is_found_again(true: float) -> None:
    logp, targets = drawn(1, 20_000)
    found = fit_temperature(temper(logp, 1 / true), targets)
    assert found == pytest.approx(true, rel=0.05)


@pytest.mark.parametrize("sharpened", [0.3, 1.0, 4.0])
def test_the_temperature_is_that_of_scikit_learn(sharpened: float) -> None:
    sklearn = pytest.importorskip("sklearn", "1.8", reason="temperature scaling came with 1.8")
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator

    class Logits(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        """Gives back what it is given."""

        classes_ = np.arange(4)

        def fit(self, x: Any, y: Any) -> Any:
            return self

        def decision_function(self, x: Any) -> Any:
            return x

        def predict(self, x: Any) -> Any:
            return x.argmax(1)

        def __sklearn_is_fitted__(self) -> bool:
            return True

    logp, targets = drawn(3)
    logits = (sharpened * logp).double()
    theirs = CalibratedClassifierCV(FrozenEstimator(Logits()), method="temperature", ensemble=False)
    theirs.fit(logits.numpy(), targets.numpy())
    ours = fit_temperature(logits, targets, prior=0)
    (fold,) = theirs.calibrated_classifiers_
    assert ours == pytest.approx(1 / fold.calibrators[0].beta_, rel=1e-3), sklearn.__version__
    want = theirs.predict_proba(logits.numpy())
    torch.testing.assert_close(temper(logits, ours).exp(), torch.from_numpy(want), atol=1e-4, rtol=1e-3)


@given(seeds, st.floats(0.05, 20))
def test_a_temperature_keeps_the_order_of_the_choices_and_the_sum(seed: int, temperature: float) -> None:
    logp, _ = drawn(seed, 9)
    found = temper(logp.double(), temperature)
    assert (found.argsort(1) == logp.argsort(1)).all()
    torch.testing.assert_close(found.exp().sum(1), torch.ones(9).double())


@given(seeds)
def test_a_fitted_temperature_never_raises_the_loss(seed: int) -> None:
    logp, targets = drawn(seed, 50)
    crooked = temper(logp, 0.2)
    found = fit_temperature(crooked, targets, prior=0)
    loss = [float(-temper(crooked.double(), t)[range(50), targets].mean()) for t in (found, 1.0, 0.9 * found)]
    assert loss[0] <= min(loss) + 1e-9


def test_a_classifier_that_never_errs_among_few_is_not_made_certain() -> None:
    logp, _ = drawn(0, 60)
    targets = logp.argmax(1)
    assert fit_temperature(logp, targets, prior=0) == pytest.approx(COLDEST, rel=1e-3)
    assert 2 * COLDEST < fit_temperature(logp, targets) < 1
    assert fit_temperature(logp[:2], targets[:2]) > fit_temperature(logp, targets), "two right answers say little"
    assert fit_temperature(logp[:0], targets[:0]) == 1


def test_the_least_of_a_function_with_one_minimum() -> None:
    assert least(lambda x: (x - 0.3) ** 2, -5, 5) == pytest.approx(0.3, abs=1e-5)
    assert least(lambda x: x, -5, 5) == pytest.approx(-5, abs=1e-5)


@pytest.mark.parametrize("how", MIXES)
def test_a_mix_lies_between_its_parts_and_sums_to_one(how: Any) -> None:
    (one, _), (other, _) = drawn(1, 30), drawn(2, 30)
    for weight in (0.0, 0.4, 1.0):
        torch.testing.assert_close(mix(one, other, weight, how).exp().sum(1), torch.ones(30))
    assert mix(one, other, 0, how) is one
    assert mix(one, other, 1, how) is other
    ruled_out = one.clone()
    ruled_out[:, 0] = -torch.inf
    left = mix(ruled_out, other, 0.4, how)[:, 0]
    assert ((left == -torch.inf) if how == "geometric" else (left > -torch.inf)).all()


@pytest.mark.parametrize("how", MIXES)
def test_the_mix_that_made_the_truth_is_found_again(how: Any) -> None:
    (one, _), (other, _) = drawn(1, 30_000), drawn(2, 30_000)
    made = mix(one, other, 0.35, how)
    targets = torch.multinomial(made.exp(), 1, generator=torch.Generator().manual_seed(0))[:, 0]
    kind, weight = fit_mix(one, other, targets)
    assert kind == how
    assert weight == pytest.approx(0.35, abs=0.05)


def test_a_head_that_knows_nothing_gets_no_weight() -> None:
    logp, targets = drawn(4, 5000)
    nothing = torch.zeros_like(logp).log_softmax(1)
    assert fit_mix(logp, nothing, targets)[1] < 0.05
    assert fit_mix(nothing, logp, targets)[1] > 0.95


def test_a_stack_reads_nodes_and_flat_head_and_bears_what_is_impossible() -> None:
    edges, flat = torch.tensor([[0.0, -torch.inf]]), torch.tensor([[-0.1, -50.0, -3.0]])
    found = features(edges, flat)
    assert found.tolist() == [[0.0, FAINTEST, pytest.approx(-0.1), FAINTEST, -3.0]]
    stack = Stack(torch.eye(3, 5), torch.zeros(3))
    torch.testing.assert_close(stack(found).exp().sum(1), torch.ones(1))
    with pytest.raises(ValueError, match="fitted to 5 outputs of nodes, here are 2"):
        stack(features(edges, None))
