"""Values that `hier.load` and the estimator cannot use, each answered in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hier.hierarchy import HierError, TreeError, UnknownNameError, load_tree
from hier.models.bundle import BundleError

import hier


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"router": "x"}, UnknownNameError, "unknown router 'x'"),
        ({"router": None}, UnknownNameError, "unknown router None"),
        ({"model": []}, BundleError, "no model named"),
        ({"model": "a" * 5000}, BundleError, "no model at aaa"),
        ({"device": "nope"}, HierError, "device 'nope' cannot be used"),
        ({"min_confidence": float("nan")}, HierError, "minimum confidence"),
        ({"tolerance": 1.5}, HierError, "tolerance"),
    ],
)
def test_what_cannot_be_loaded_is_told_in_a_line(
    card_path: Path, options: dict[str, Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told) as found:
        hier.load(**{"model": card_path, **options})
    assert "\n" not in str(found.value)
    assert len(str(found.value)) < 400


@pytest.mark.parametrize(
    "option",
    [
        {"batch": 0}, {"batch": 1}, {"batch": 2.5}, {"epochs": -1}, {"epochs": 0}, {"tune_epochs": "3"}, {"lr": "a"},
        {"lr": float("nan")}, {"tune_lr": -1}, {"random_state": "x"}, {"random_state": -1}, {"device": "nope"},
        {"backbone": "nope"},
    ],
)  # fmt: skip
def test_an_estimator_refuses_what_cannot_be_trained_with(option: dict[str, Any]) -> None:
    images, labels = np.random.default_rng(0).random((4, 64, 64)), ["a", "b"] * 2
    with pytest.raises(ValueError, match=r"^[^\n]{5,400}$"):
        hier.HierarchicalClassifier(**option).fit(images, labels)


@pytest.mark.parametrize("kind", ["long", "text"])
def test_labels_of_300_letters_and_of_numpys_new_text_are_labels(kind: str) -> None:
    images = np.random.default_rng(0).random((8, 64, 64))
    labels = np.array(["a" * 300, "b" * 300] * 4)
    given = labels if kind == "long" else labels.astype(np.dtypes.StringDType())
    options: dict[str, Any] = {"epochs": 1, "tune_epochs": 1, "batch": 8, "backbone": "test_convnext"}
    found = hier.HierarchicalClassifier(random_state=None, **options).fit(images, given).predict(images)
    assert set(found) <= set(labels)


def test_a_trees_names_are_short_enough_for_files(tmp_path: Path) -> None:
    text = "name: t\nroot: {{name: {}, level: l, children: {{x: a, y: b}}}}\n"
    (tmp_path / "t.yaml").write_text(text.format("n" * 100), encoding="utf-8")
    assert load_tree(tmp_path / "t.yaml").root == "n" * 100
    (tmp_path / "t.yaml").write_text(text.format("n" * 300), encoding="utf-8")
    with pytest.raises(TreeError, match="name has 300 letters; use at most 100"):
        load_tree(tmp_path / "t.yaml")
