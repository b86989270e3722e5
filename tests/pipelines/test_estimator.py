"""The estimator for scikit-learn: its contract, as far as it makes sense for images, and what it learns."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hier.datasets import PatternDataset
from hier.pipelines.training.best import Best, Enough
from hier.pipelines.training.estimator import HierarchicalClassifier
from numpy.typing import NDArray
from PIL import Image
from sklearn.base import clone
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks

import hier

QUICK = {"epochs": 1, "tune_epochs": 1}
TREE = {
    "name": "turns",
    "root": {
        "name": "turn", "level": "rotation",
        "children": {
            "two": "half turns",
            "four": {"name": "mirror", "level": "reflection", "children": {"no": "p4", "yes": "p4m"}},
        },
    },
}  # fmt: skip
# Those of scikit-learn's checks that need no data; all others make rows of a few numbers, which are no images.
# The same questions are put below with images.
CHECKS: tuple[Callable[[str, Any], None], ...] = (
    estimator_checks.check_no_attributes_set_in_init,
    estimator_checks.check_parameters_default_constructible,
    estimator_checks.check_get_params_invariance,
    estimator_checks.check_set_params,
    estimator_checks.check_estimator_repr,
    estimator_checks.check_estimator_cloneable,
    estimator_checks.check_valid_tag_types,
    estimator_checks.check_mixin_order,
    estimator_checks.check_estimator_tags_renamed,
)


@pytest.fixture(scope="module")
def data() -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    dataset = PatternDataset("atoms", 5, 96, groups=("p2", "p4", "p4m"), cells=(6, 12))
    images = dataset.batch(range(60)).permute(0, 2, 3, 1).numpy()
    names = {"p2": "half turns"}
    return images, np.array([names.get(dataset.label(i), dataset.label(i)) for i in range(60)])


@pytest.fixture(scope="module")
def fitted(data: tuple[Any, Any]) -> HierarchicalClassifier:
    return HierarchicalClassifier(TREE, **QUICK).fit(data[0][:24], data[1][:24])


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_checks_of_scikit_learn(check: Callable[[str, Any], None]) -> None:
    check("HierarchicalClassifier", hier.HierarchicalClassifier())


def test_scikit_learn_knows_that_it_takes_images() -> None:
    tags = HierarchicalClassifier().__sklearn_tags__()
    assert tags.estimator_type == "classifier"
    assert not tags.input_tags.two_d_array
    assert tags.input_tags.three_d_array


@pytest.mark.slow
def test_it_learns_labels_and_tree_of_ones_own(data: tuple[Any, Any]) -> None:
    X, y = data
    model = HierarchicalClassifier(TREE, epochs=40, tune_epochs=8).fit(X[:48], y[:48])
    assert model.score(X[48:], y[48:]) >= 0.9


@pytest.mark.slow
def test_labels_may_hang_on_which_lattice_vector_is_the_shorter() -> None:
    X, y = zip(*(mirrored(k) for k in range(150)), strict=True)
    model = HierarchicalClassifier(swap_axes=False, epochs=25, tune_epochs=4).fit(np.stack(X[:100]), y[:100])
    assert model.score(np.stack(X[100:]), y[100:]) >= 0.9


def mirrored(seed: int) -> tuple[NDArray[np.float32], str]:
    """A pattern of group pm on a rectangular lattice, and the vector that its mirrors lie along."""
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(14, 20), rng.uniform(24, 34)
    along_a = seed % 2 == 0
    y, x = np.mgrid[:112, :112] + rng.uniform(0, 30, (2, 1, 1))
    image = np.zeros((112, 112))
    for u, v, height in rng.random((5, 3)):
        for side in (1, -1):
            du, dv = x / a - (u if along_a else side * u), y / b - (side * v if along_a else v)
            square = (a * (du - np.round(du))) ** 2 + (b * (dv - np.round(dv))) ** 2
            image += (height + 0.3) * np.exp(-square / 8)
    return image.astype(np.float32), "shorter" if along_a else "longer"


def test_probabilities_are_those_of_the_classes_in_their_order(
    fitted: HierarchicalClassifier, data: tuple[Any, Any]
) -> None:
    X, _ = data
    assert fitted.classes_.tolist() == ["half turns", "p4", "p4m"]
    assert list(fitted.nodes_) == ["turn", "mirror"]
    p = fitted.predict_proba(X[48:])
    assert p.shape == (12, 3)
    assert np.allclose(p.sum(1), 1)
    assert (fitted.classes_[p.argmax(1)] == fitted.predict(X[48:])).all()
    assert fitted.score(X[48:], fitted.predict(X[48:])) == 1


def test_an_answer_does_not_depend_on_the_batch_or_on_travelling(
    fitted: HierarchicalClassifier, data: tuple[Any, Any]
) -> None:
    X = data[0][48:54]
    whole = fitted.predict_proba(X)
    assert np.allclose(whole[[3]], fitted.predict_proba(X[[3]]), atol=2e-3)
    assert np.allclose(whole[::-1], fitted.predict_proba(X[::-1]), atol=2e-3)
    assert np.array_equal(whole, pickle.loads(pickle.dumps(fitted)).predict_proba(X))


def test_files_lists_and_arrays_are_one(fitted: HierarchicalClassifier, data: tuple[Any, Any], tmp_path: Path) -> None:
    levels = (255 * data[0][48:51]).round().astype(np.uint8)
    paths = [tmp_path / f"{k}.png" for k in range(3)]
    for path, image in zip(paths, levels, strict=True):
        Image.fromarray(image).save(path)
    one = fitted.predict_proba(levels)
    for given in (paths, np.array([str(p) for p in paths]), list(levels), torch.from_numpy(levels)):
        assert np.array_equal(one, fitted.predict_proba(given))


def test_fitting_twice_is_fitting_once_and_leaves_random_numbers_alone(data: tuple[Any, Any]) -> None:
    X, y = data[0][:12], np.tile([7, 3], 6)
    model = HierarchicalClassifier(**QUICK)
    torch.manual_seed(5)
    model.fit(X, y)
    drawn = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(3))
    assert model.classes_.tolist() == [3, 7]
    assert set(model.predict(X).tolist()) <= {3, 7}
    first = model.predict_proba(X)
    assert np.array_equal(first, model.fit(X, y).predict_proba(X))
    assert np.array_equal(first, clone(model).fit(X, y).predict_proba(X))


@pytest.mark.parametrize("seed", [None, np.random.RandomState(4), np.random.default_rng(4), np.int64(4), 4])
def test_any_random_state_of_numpy_is_a_seed(
    data: tuple[Any, Any], seed: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: list[int] = []
    monkeypatch.setattr(
        HierarchicalClassifier, "_trained", lambda self, evidence, seed, weights: seeds.append(seed) or {}
    )
    for _ in range(2):
        HierarchicalClassifier(random_state=seed).fit(data[0][:4], ["a", "b", "a", "b"])  # type: ignore[arg-type]
    assert all(0 <= s < 2**31 for s in seeds)
    assert (seeds[0] == seeds[1]) == isinstance(seed, int | np.integer), "drawn at every fit, or given"
    if seed == 4:
        assert seeds == [4, 4]


def test_probabilities_are_made_for_a_few_images_at_a_time(
    fitted: HierarchicalClassifier, data: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fitted.predict_proba(data[0][48:57])
    sizes: list[int] = []
    hook = fitted.nodes_["turn"].register_forward_hook(lambda node, inputs, logits: sizes.append(len(logits)))
    monkeypatch.setattr("hier.pipelines.training.estimator.TOGETHER", 4)
    assert np.allclose(fitted.predict_proba(data[0][48:57]), whole, atol=2e-3)
    hook.remove()
    assert sizes == [4, 4, 1]


def test_labels_may_be_of_numpys_newer_strings(data: tuple[Any, Any]) -> None:
    y = np.array(["p4", "p2"] * 6, dtype=np.dtypes.StringDType())
    model = HierarchicalClassifier(**QUICK).fit(data[0][:12], y)
    assert model.classes_.tolist() == ["p2", "p4"]
    assert set(model.predict(data[0][:3])) <= {"p2", "p4"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epochs": 0}, "epochs = 0: an integer of at least 1 is needed, or None"),
        ({"tune_epochs": -2}, "tune_epochs = -2"),
        ({"epochs": 1.5}, "epochs = 1.5"),
        ({"batch": 0}, "batch = 0: an integer of at least 2 is needed$"),
        ({"batch": None}, "batch = None"),
        ({"lr": 0}, "lr = 0: a positive number"),
        ({"tune_lr": float("nan")}, "tune_lr = nan"),
        ({"random_state": -1}, "between 0 and"),
        ({"random_state": "seven"}, "seven"),
    ],
)
def test_an_argument_that_cannot_be_used_is_named(data: tuple[Any, Any], arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HierarchicalClassifier(**arguments).fit(data[0][:4], ["a", "b", "a", "b"])


@pytest.mark.parametrize("missing", [None, np.nan])
def test_a_missing_label_is_named(data: tuple[Any, Any], missing: object) -> None:
    with pytest.raises(ValueError, match=r"y contains (None|nan) \(image 2\)"):
        HierarchicalClassifier().fit(data[0][:4], np.array(["a", "b", missing, "b"], object))


def test_labels_that_scikit_learn_numbered_are_recognised(data: tuple[Any, Any]) -> None:
    with pytest.raises(ValueError, match=r"not in the tree: 0, 1, 2\. Some functions of scikit-learn"):
        HierarchicalClassifier(TREE).fit(data[0][:6], [0, 1, 2] * 2)


def test_it_works_within_scikit_learn(data: tuple[Any, Any]) -> None:
    X, y = data[0][:12], data[1][:12]
    model = HierarchicalClassifier(**QUICK)
    grid = GridSearchCV(model, {"lr": [1e-3, 5e-3]}, cv=2, error_score="raise", refit=False).fit(X, y)
    assert grid.best_params_["lr"] in (1e-3, 5e-3)
    inverted = make_pipeline(FunctionTransformer(lambda images: 1 - images), model).fit(X, y)
    assert inverted.predict(X[:2]).shape == (2,)


def test_what_cannot_be_used_is_said(data: tuple[Any, Any], tmp_path: Path) -> None:
    X, y = data[0][:6], data[1][:6]
    model = HierarchicalClassifier(TREE)
    with pytest.raises(NotFittedError):
        model.predict(X)
    with pytest.raises(ValueError, match="6 images and 5 labels"):
        model.fit(X, y[:5])
    with pytest.raises(ValueError, match="only one class"):
        model.fit(X, ["p4"] * 6)
    with pytest.raises(ValueError, match=r"no image of half turns; not in the tree: p2"):
        model.fit(X, ["p4", "p4m", "p2"] * 2)
    with pytest.raises(ValueError, match="image 1: the image is constant"):
        model.fit([X[0], np.zeros((64, 64)), X[2]], ["p4", "p4m", "half turns"])
    with pytest.raises(ValueError, match=r"nothing\.png: no such file"):
        model.fit([tmp_path / "nothing.png", *X[:2]], ["p4", "p4m", "half turns"])
    with pytest.raises(ValueError, match="put it into a list"):
        model.fit(X[0, ..., 0], y)
    with pytest.raises(ValueError, match="no images"):
        model.fit([], [])
    with pytest.raises(ValueError, match="tree: node 'turn'"):
        HierarchicalClassifier({"name": "x", "root": {"name": "turn", "level": "l", "children": {"a": "b"}}}).fit(X, y)


def test_weights_are_those_of_the_loss(data: tuple[NDArray[np.float32], NDArray[np.str_]]) -> None:
    images, labels = data
    make = lambda: HierarchicalClassifier(TREE, backbone="test_convnext3", **QUICK)  # noqa: E731
    plain, even = make().fit(images, labels), make().fit(images, labels, np.full(60, 3.0))
    np.testing.assert_allclose(plain.predict_proba(images), even.predict_proba(images), atol=1e-5)
    only = make().fit(images, labels, sample_weight=(labels == "p4").astype(float))
    assert (only.predict_proba(images) - plain.predict_proba(images))[:, list(plain.classes_).index("p4")].mean() > 0
    for wrong in (np.ones(3), -np.ones(60), np.zeros(60), np.full(60, np.nan)):
        with pytest.raises(ValueError, match="sample_weight: 60 numbers of at least 0"):
            make().fit(images, labels, wrong)


def test_the_fastest_device_is_found(data: tuple[NDArray[np.float32], NDArray[np.str_]]) -> None:
    images, labels = data
    model = HierarchicalClassifier(TREE, backbone="test_convnext3", device="auto", **QUICK).fit(images, labels)
    assert model.device_ in ("cpu", "cuda", "mps")
    assert model.device == "auto"
    assert set(model.predict(images)) <= set(labels)


def test_functions_that_number_labels_are_named(data: tuple[NDArray[np.float32], NDArray[np.str_]]) -> None:
    images, labels = data
    model = HierarchicalClassifier(TREE, backbone="test_convnext3", **QUICK)
    with pytest.raises(ValueError, match=r"number labels.* VotingClassifier"):
        VotingClassifier([("a", model), ("b", model)], voting="soft").fit(images, labels)
    free = HierarchicalClassifier(backbone="test_convnext3", **QUICK)  # without a tree any labels will do
    assert cross_val_predict(free, images, labels, cv=2, method="predict_proba").shape == (60, 3)


def test_training_stops_early_and_says_so(
    data: tuple[NDArray[np.float32], NDArray[np.str_]], capsys: pytest.CaptureFixture[str]
) -> None:
    images, labels = data
    options = {"backbone": "test_convnext3", "epochs": 8, "tune_epochs": 2, "validation_fraction": 0.2}
    HierarchicalClassifier(TREE, **options, patience=1, lr=0.3, verbose=True).fit(images, labels)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("all labels: epoch 1 of 8, loss ")
    assert 1 < sum(line.startswith("all labels") for line in lines) < 8, "a rate of 0.3 is too high to go on"
    assert any(line.startswith("mirror: epoch 1 of 2") for line in lines)
    with pytest.raises(ValueError, match="patience = 2: validation_fraction is needed"):
        HierarchicalClassifier(TREE, patience=2).fit(images, labels)
    with pytest.raises(ValueError, match="validation_fraction = 2"):
        HierarchicalClassifier(TREE, validation_fraction=2).fit(images, labels)
    with pytest.raises(ValueError, match="'p1' has one image"):
        HierarchicalClassifier(validation_fraction=0.5, **QUICK).fit(images[:4], ["p1", "p2", "p2", "p2"])


def test_the_best_epoch_is_kept() -> None:
    node = torch.nn.Linear(1, 1)
    best = Best(node, patience=2)  # type: ignore[arg-type]
    for epoch, loss in enumerate((3.0, 1.0, 2.0)):
        node.weight.data[:] = epoch
        best.seen(loss)
    node.weight.data[:] = 3
    with pytest.raises(Enough):
        best.seen(1.5)
    assert best.restored().weight.item() == 1


def test_scores_down_a_tree_are_those_of_its_levels() -> None:
    found = hier.hierarchical_scores(["p4m", "p3", "p1"], ["p4g", "p3", "p6"])
    assert found["accuracy"] == pytest.approx(1 / 3)
    assert found["levels"]["rotation"] == pytest.approx(2 / 3)  # type: ignore[index]
    with pytest.raises(ValueError, match="has no label p5"):
        hier.hierarchical_scores(["p5"], ["p1"])
    with pytest.raises(ValueError, match="2 true and 1 predicted"):
        hier.hierarchical_scores(["p1", "p2"], ["p1"])
