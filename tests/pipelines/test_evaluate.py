"""Reports of every router, against counts made image by image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hier.models.classifier import Answer, Classifier
from hier.pipelines.measuring.evaluate import report_of

COUNT = 170


@pytest.fixture(scope="module")
def classifier(card_path: Path) -> Classifier:
    return Classifier.load(card_path)


@pytest.fixture(scope="module")
def answers(classifier: Classifier) -> dict[str, list[Answer]]:
    """Of nodes that choose at random, so that images go everywhere."""
    generator = torch.Generator().manual_seed(0)
    outputs = {
        name: torch.randn(1, COUNT, len(members[0].settings.choices), generator=generator).log_softmax(-1)
        for name, members in classifier.nodes.items()
    }
    lazy = [{name: rows[:, at].clone() for name, rows in outputs.items()} for at in (slice(0, 85), slice(85, COUNT))]
    for half in lazy:  # as `outputs_on_the_way` leaves them
        best = classifier.combine(half, "hard").winners.numpy()
        for n, name in enumerate(classifier.plan.nodes):
            half[name][:, torch.from_numpy(classifier.plan.answers[n][best] < 0)] = torch.nan
    return {
        "lazy": [classifier.combine(half, "hard") for half in lazy],
        "eager": [classifier.combine(outputs, "hard")],
        "soft": [classifier.combine(outputs, "soft")],
    }


def test_under_hard_a_node_answers_for_the_images_that_reached_it(
    classifier: Classifier, answers: dict[str, list[Answer]]
) -> None:
    labels = [classifier.labels[i % 17] for i in range(COUNT)]
    report = report_of(classifier, answers["lazy"], labels, {}, {})
    right: dict[str, list[bool]] = {}
    at_all: dict[str, list[bool]] = {}
    winners = torch.cat([a.winners for a in answers["lazy"]])
    tree = classifier.bundle.tree
    for label, winner in zip(labels, winners, strict=True):
        want, given = dict(tree.path(label)), dict(tree.path(classifier.labels[int(winner)]))
        for node, choice in want.items():
            at_all.setdefault(node, []).append(given.get(node) == choice)
            if node in given:
                right.setdefault(node, []).append(given[node] == choice)
    assert report.nodes == pytest.approx({node: float(np.mean(found)) for node, found in right.items()})
    ends = {node: found["accuracy"] for node, found in report.end_to_end.items()}
    assert ends == pytest.approx({node: float(np.mean(found)) for node, found in at_all.items()})
    assert any(len(right[node]) < len(at_all[node]) for node in right), "some went elsewhere"
    assert report.accuracy == np.mean(
        [classifier.labels[int(w)] == label for w, label in zip(winners, labels, strict=True)]
    )
    for value in (report.loss, report.ece, report.brier, report.aurc, *report.levels.values()):
        assert np.isfinite(value)


@pytest.mark.parametrize("how", ["soft", "eager"])
def test_a_node_that_was_run_for_all_images_answers_for_all_below_it(
    classifier: Classifier, answers: dict[str, list[Answer]], how: str
) -> None:
    labels = [classifier.labels[i % 17] for i in range(COUNT)]
    report = report_of(classifier, answers[how], labels, {}, {})
    tree, (answer,) = classifier.bundle.tree, answers[how]
    for node, accuracy in report.nodes.items():
        want = [(i, dict(tree.path(label))[node]) for i, label in enumerate(labels) if node in dict(tree.path(label))]
        assert accuracy == pytest.approx(np.mean([int(answer.nodes[node][i].argmax()) == c for i, c in want]))
