"""An answer agrees with its evidence: a word for how far it is to be trusted, and none that its operations deny."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hier.datasets import PatternDataset
from hier.hierarchy import GROUP_NAMES
from hier.models.bundle import BUNDLED
from hier.models.classifier import Answer
from hier.models.evidence.batches import rows
from hier.models.routing.router import ROUTERS
from hier.pipelines.answering.cells import shared_cell
from hier.pipelines.answering.confidence import FAILS, Held, confidence, doubts
from hier.pipelines.answering.predict import Predictor
from hier.pipelines.answering.results import Prediction
from hier.pipelines.loading import load
from rich.console import Console
from rich.text import Text
from torch import Tensor

from hier.screen.panels import STYLES, panel


@pytest.fixture(scope="module")
def images() -> Tensor:
    return PatternDataset("atoms", 999_999_937, 256, groups=("p4", "pmg", "p6"), cells=(8, 30)).batch([0, 1, 2])


@pytest.fixture(scope="module")
def bundled() -> Predictor:
    return load(BUNDLED)


@pytest.fixture(scope="module")
def found(bundled: Predictor, images: Tensor) -> list[Prediction]:
    return bundled.predict([image.numpy().transpose(1, 2, 0) for image in images], keep=True)


def held(predictor: Predictor, images: Tensor, index: int) -> Held:
    answer = predictor.classifier.answer(images)
    assert answer.groups is not None
    assert answer.structure is not None
    return Held.of(answer.groups, index, rows(answer.structure, slice(index, index + 1)))


def test_a_group_is_denied_by_its_own_operations(bundled: Predictor, images: Tensor) -> None:
    """The pattern's own group holds, and so do its subgroups; others do not, and p6 has another lattice."""
    on_p4 = held(bundled, images, 0)
    assert {"p1", "p2", "p4"} <= set(on_p4.holding(GROUP_NAMES, None))
    assert on_p4.share("p4") == pytest.approx(1, abs=0.02)
    worst = min((name for name in GROUP_NAMES if on_p4.misfits[GROUP_NAMES.index(name)] < 2), key=on_p4.share)
    assert f"operation of {worst} correlates by" in on_p4.denial(worst, None)
    assert "does not have the metric of p6" in on_p4.denial("p6", None)
    assert on_p4.denial(worst, 0.999) == "", "a user who forgives all is not contradicted"
    assert on_p4.denial("brick", None) == "", "labels of one's own have no operations"


def test_noise_is_not_held_against_a_group(bundled: Predictor, images: Tensor) -> None:
    """A quarter of the contrast is noise in every pixel: the cell correlates less, the group holds as well."""
    noisy = images + 0.25 * images.std() * torch.randn(images.shape, generator=torch.Generator().manual_seed(0)) * 4
    for index, name in enumerate(("p4", "pmg", "p6")):
        one = held(bundled, noisy, index)
        share = one.share(name)
        assert share is not None
        assert share > 1 - one.misfits[GROUP_NAMES.index(name)] - 1e-6
        assert share > 0.9


def misled(predictor: Predictor, group: str, share: float, monkeypatch: pytest.MonkeyPatch) -> Predictor:
    """The predictor, whose networks now give `group` that share of what they believe, and the others the rest alike."""
    answer, labels = predictor.classifier.answer, predictor.classifier.labels
    p = torch.full((1, len(labels)), (1 - share) / (len(labels) - 1))
    p[0, labels.index(group)] = share

    def wrong(*args: Any, **kwargs: Any) -> Answer:
        right = answer(*args, **kwargs)
        return replace(right, log_probabilities=p.log().to(right.log_probabilities), winners=p.argmax(1))

    monkeypatch.setattr(predictor.classifier, "answer", wrong)
    return predictor


def test_what_its_operations_deny_is_undecided_with_the_reason(images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that say p4g of a p4, whose mirrors and glides do not hold at all."""
    image, likeliest = images[0], "p4g"
    (one,) = misled(load(BUNDLED, rectify="none"), likeliest, 0.38, monkeypatch).predict(image)
    assert (one.group, one.confidence) == (None, "undecided")
    assert one.statement.startswith("undecided: p4g is likeliest, 3")
    assert "an operation of p4g correlates by 0." in one.statement
    assert one.held is not None
    assert one.held < FAILS
    assert likeliest not in one.candidates
    assert "p1" in one.candidates, "which holds always"
    assert one.path[-1].choice == "p4g"
    assert one.probability == pytest.approx(one.groups[likeliest], abs=1e-6)
    assert one.tried is not None, "what was read is drawn"
    plain = one.as_dict()
    assert (plain["group"], plain["confidence"]) == (None, "undecided")
    assert plain["held"] == pytest.approx(one.held)
    partial = load(BUNDLED, rectify="none", min_confidence=0.9)
    (forgiven,) = misled(partial, likeliest, 0.38, monkeypatch).predict(image)
    assert "p4g is likeliest" not in forgiven.statement, "a partial answer is one of its own"


def test_colour_and_word_follow_the_confidence(found: list[Prediction]) -> None:
    sure = found[0]
    told = {
        "sure": sure,
        "likely": replace(sure, probability=0.8),
        "doubtful": replace(sure, probability=0.07),
        "undecided": replace(sure, group=None, statement="undecided"),
        "none": replace(sure, group=None, periodic=False, periodic_probability=0.1),
    }
    for word, one in told.items():
        assert confidence(one) == one.confidence == word
        assert panel(one).border_style == STYLES[one.confidence]
        assert bool(doubts(one)) == (word in ("likely", "doubtful"))
    assert [word for word in told if STYLES[told[word].confidence] == "green"] == ["sure"]
    weak = replace(sure, held=0.7)
    assert weak.confidence == "likely"
    assert "correlates by 0.70" in doubts(weak)
    screen = Console(width=100, record=True)
    screen.print(panel(told["doubtful"]))
    assert "doubtful: the networks give it 7.0 %" in screen.export_text()
    assert isinstance(panel(sure).title, Text)


@pytest.mark.parametrize("router", [router for router in ROUTERS if router not in ("stack", "flat")])
def test_a_step_and_its_choices_tell_one_probability(images: Tensor, router: str) -> None:
    rough = images[0, :, :128, :128] + 0.2 * torch.rand((128, 128), generator=torch.Generator().manual_seed(0))
    (one,) = load(BUNDLED, router=router, rectify="none").predict(rough.clamp(0, 1))
    for step in one.path:
        assert step.probability == step.choices[step.choice]
        assert sum(step.choices.values()) == pytest.approx(1, abs=1e-5)


def test_an_open_cell_is_named_by_what_is_still_possible() -> None:
    upright, skew = np.diag([20.0, 31.0]), np.array([[20.0, -4.0], [0.0, 31.0]])
    rhombus = np.array([[25.0, -7.0], [0.0, 24.0]])
    rectangular = ("pmm", "pmg", "pgg", "cmm")
    assert [shared_cell(upright, some).system for some in (rectangular, ("p2", *rectangular), GROUP_NAMES)] == [
        "rectangular"
    ] * 3
    assert shared_cell(rhombus, rectangular).centred
    assert shared_cell(upright, ("p2",)).system == "oblique"
    assert shared_cell(skew, GROUP_NAMES).system == "oblique"
    assert shared_cell(np.diag([20.0, 20.1]), GROUP_NAMES).system == "square"
    assert shared_cell(np.array([[30, -15], [0, 15 * 3**0.5]]), GROUP_NAMES).system == "hexagonal"
