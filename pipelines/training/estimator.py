"""A classifier in the manner of scikit-learn, for labels and a tree of your own, trained on the images given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self
from zlib import crc32

import numpy as np
import torch
import yaml
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ...hierarchy import Tree, TreeSpec, compile_tree, load_tree, parse_spec
from ...models.classifier import check_device
from ...models.evidence.crops import best_view
from ...models.evidence.representation import SymmetryEvidence
from ...models.node import NodeClassifier, NodeSettings
from ...models.routing.router import route
from ..generating.evidence import EvidenceSet
from ..generating.parts import BATCH
from ..reading.images import ImageError, ImageLike, read_image
from .data import samples_of
from .fit import batch_of, fit
from .loop import Schedule

Images = NDArray[Any] | Tensor | Sequence[ImageLike]
STEPS = 600  # of the backbone's training, so that a few images are learnt as well as many
TOGETHER = 128  # images whose evidence is held at a time when probabilities are asked for


class HierarchicalClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Labels of periodic images, by one network at every node of a tree, which read symmetry maps in place of pixels.

    Parameters
    ----------
    tree : a built-in tree's name, the path of a YAML file, or the same as a dict; its labels are those of `y` as text.
        None asks for all labels at one node.
    backbone : the networks' name in timm.
    epochs, lr : of the backbone, which is trained on all labels first; the highest learning rate. None is as many
        epochs as make `STEPS` steps, at least 15.
    tune_epochs, tune_lr : of every node, which starts from it; None makes a quarter of the steps, at least 6 epochs.
    batch : images in a step, fewer if there are few images.
    swap_axes : train on images with their two lattice vectors exchanged, too, so that labels do not depend on which is
        the shorter. False where they do: mirrors along the shorter vector or along the longer, say.
    random_state : a seed, with which the same images and settings make the same classifier on one machine; None, a
        numpy RandomState or a Generator draws the seed at every `fit`.
    device : where torch computes.

    Attributes
    ----------
    classes_ : the labels (k,), sorted, as they were given; the columns of `predict_proba`.
    tree_ : the `Tree`.
    nodes_ : its `NodeClassifier` of each name.

    Images are paths, arrays (n, H, W) or (n, H, W, C), or a list of whatever `hier.load().predict` takes, of any sizes.
    It has no gate: every image gets one of its labels, whether it is periodic or not.
    """

    def __init__(
        self, tree: str | Path | Mapping[str, Any] | None = None, *, backbone: str = "lcnet_050",
        epochs: int | None = None, tune_epochs: int | None = None, lr: float = 5e-3, tune_lr: float = 1e-3,
        batch: int = 128, swap_axes: bool = True,
        random_state: int | np.random.RandomState | np.random.Generator | None = 0, device: str = "cpu",
    ) -> None:  # fmt: skip
        self.tree = tree
        self.backbone = backbone
        self.epochs = epochs
        self.tune_epochs = tune_epochs
        self.lr = lr
        self.tune_lr = tune_lr
        self.batch = batch
        self.swap_axes = swap_axes
        self.random_state = random_state
        self.device = device

    def fit(self, X: Images, y: ArrayLike) -> Self:
        """Train on images and their labels (n,). ValueError says what is wrong with them, the tree or an argument."""
        self._check_arguments()
        images, labels = _as_list(X), _labels(y)
        if len(images) != len(labels):
            raise ValueError(f"{len(images)} images and {len(labels)} labels: give one label for each image")
        self.classes_ = np.unique(labels)
        texts = [str(label) for label in self.classes_]
        if len(set(texts)) < len(texts):
            raise ValueError(f"labels that are equal as text cannot be distinguished in a tree: {texts}")
        if len(texts) < 2:
            raise ValueError(f"only one class, {texts[0]!r}: there is nothing to choose")
        self.tree_ = _tree(self.tree, texts)
        _check_labels(self.tree_, texts)
        evidence = self._evidence(images, [str(label) for label in labels])
        seed = _seed(self.random_state)
        with torch.random.fork_rng():  # leave the caller's random numbers as they are
            self.nodes_ = self._trained(evidence, seed)
        return self

    def _check_arguments(self) -> None:
        for name, least in (("epochs", 1), ("tune_epochs", 1), ("batch", 2)):
            value = getattr(self, name)
            if not (isinstance(value, int | np.integer) and value >= least) and not (value is None and name != "batch"):
                none = "" if name == "batch" else ", or None"
                raise ValueError(f"{name} = {value!r}: an integer of at least {least} is needed{none}")
        for name in ("lr", "tune_lr"):
            value = getattr(self, name)
            if not (isinstance(value, int | float | np.number) and 0 < value < np.inf):
                raise ValueError(f"{name} = {value!r}: a positive number is needed")
        check_device(self.device)

    def _trained(self, evidence: EvidenceSet, seed: int) -> dict[str, NodeClassifier]:
        plan = compile_tree(self.tree_)
        whole = samples_of(evidence, plan)
        epochs = self.epochs or max(15, _epochs(len(whole), self.batch, STEPS))
        torch.manual_seed(seed)
        first = NodeClassifier(NodeSettings(plan.labels, self.backbone)).to(self.device)
        shared = fit(first, whole, whole, Schedule(epochs, self.lr, self.batch, seed), None, swap=self.swap_axes)
        nodes = {}
        for name in plan.nodes:
            own, own_seed = samples_of(evidence, plan, name), seed + crc32(name.encode())
            torch.manual_seed(own_seed)
            node = shared.for_choices(self.tree_.choices(name), plan.choices_at(name).tolist())
            epochs = self.tune_epochs or max(6, _epochs(len(own), self.batch, STEPS // 4))
            tuning = Schedule(epochs, self.tune_lr, self.batch, own_seed)
            nodes[name] = fit(node, own, own, tuning, None, swap=self.swap_axes)
        return nodes

    def predict_proba(self, X: Images) -> NDArray[np.float64]:
        """Probabilities (n, k) of `classes_`: along the tree, multiplied."""
        check_is_fitted(self)
        images = _as_list(X)
        columns = [self.tree_.labels.index(str(label)) for label in self.classes_]
        parts = [self._probabilities(images[k : k + TOGETHER]) for k in range(0, len(images), TOGETHER)]
        chosen: NDArray[np.float64] = np.concatenate(parts)[:, columns]
        total: NDArray[np.float64] = chosen.sum(1, keepdims=True)
        return np.asarray(chosen / total)

    @torch.inference_mode()
    def _probabilities(self, images: Sequence[ImageLike]) -> NDArray[np.float64]:
        evidence = self._evidence(images)
        maps, numbers = evidence.maps[:].to(self.device).float(), evidence.numbers[:].to(self.device)
        nodes = {name: node.log_probabilities(maps, numbers) for name, node in self.nodes_.items()}
        p: NDArray[np.float64] = route(compile_tree(self.tree_), nodes, "soft").exp().cpu().double().numpy()
        return p

    def predict(self, X: Images) -> NDArray[Any]:
        """The likeliest label of each image (n,), as labels were given to `fit`."""
        p = self.predict_proba(X)
        labels: NDArray[Any] = self.classes_[p.argmax(1)]
        return labels

    def _evidence(self, images: Sequence[ImageLike], labels: Sequence[str] = ()) -> EvidenceSet:
        """Symmetry evidence of images in order, made for those of one size together. ValueError names a bad one."""
        represent = SymmetryEvidence()
        maps: dict[int, Tensor] = {}
        numbers: dict[int, Tensor] = {}
        waiting: dict[tuple[int, ...], list[tuple[int, Tensor]]] = {}

        def make(some: list[tuple[int, Tensor]]) -> None:
            found = represent(torch.stack([image for _, image in some]).to(self.device))
            for k, (i, _) in enumerate(some):
                maps[i], numbers[i] = found.maps[k].half().cpu(), found.numbers[k].cpu()

        for i, image in enumerate(images):
            try:
                view = best_view(read_image(image)).image
            except ImageError as error:
                raise ValueError(f"{image if isinstance(image, (str, Path)) else f'image {i}'}: {error}") from error
            same = waiting.setdefault(tuple(view.shape), [])
            same.append((i, view))
            if len(same) == BATCH:
                make(waiting.pop(tuple(view.shape)))
        for some in waiting.values():
            make(some)
        order = range(len(images))
        all_maps, all_numbers = (torch.stack([made[i] for i in order]) for made in (maps, numbers))
        return EvidenceSet(all_maps, all_numbers, tuple(labels))

    def __sklearn_tags__(self) -> Any:
        """Images, not rows of features."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        return tags


def _epochs(count: int, batch: int, steps: int) -> int:
    """The epochs of `count` images that make at least `steps` steps."""
    return -(-steps // max(1, count // batch_of(count, batch)))


def _seed(given: int | np.random.RandomState | np.random.Generator | None) -> int:
    """A seed, the same for an integer; drawn from anything else that `check_random_state` takes, or a Generator."""
    if isinstance(given, np.random.Generator):
        given = np.random.RandomState(given.bit_generator)
    random = check_random_state(given)
    return int(given) if isinstance(given, int | np.integer) else int(random.randint(2**31 - 1))


def _labels(y: ArrayLike) -> NDArray[Any]:
    """The labels (n,), strings in numpy's classic dtype. ValueError for one that is missing, or no labels at all."""
    labels: NDArray[Any] = column_or_1d(y)
    values = labels.tolist()
    for i, label in enumerate(values):
        if label is None or label != label:
            raise ValueError(f"y contains {label} (image {i}): every image needs a label")
    if labels.dtype.kind == "T":
        labels = np.array(values)
    check_classification_targets(labels)
    return labels


def _check_labels(tree: Tree, texts: Sequence[str]) -> None:
    missing, foreign = set(tree.labels) - set(texts), set(texts) - set(tree.labels)
    found = (("no image of", missing), ("not in the tree:", foreign))
    if lists := [f"{what} {', '.join(sorted(names))}" for what, names in found if names]:
        hint = ""
        if foreign and foreign <= {str(k) for k in range(len(texts))}:
            hint = (
                ". Some functions of scikit-learn, cross_val_predict(method='predict_proba') among them, number labels"
            )
            hint += ": use those numbers as the tree's labels"
        raise ValueError(f"tree {tree.name!r} and the labels differ: {'; '.join(lists)}{hint}")


def _as_list(X: Images) -> Sequence[ImageLike]:
    """The images one by one. ValueError for none, or a single one."""
    if isinstance(X, (str, Path, Image.Image)) or (isinstance(X, (np.ndarray, Tensor)) and X.ndim == 2):
        raise ValueError("one image was given where many are expected: put it into a list")
    images = list(X)
    if not images:
        raise ValueError("no images were given")
    return [str(image) if isinstance(image, np.str_) else image for image in images]


def _tree(given: str | Path | Mapping[str, Any] | None, labels: Sequence[str]) -> Tree:
    """The tree given: TreeError (a ValueError) says what is wrong with it."""
    if given is None:
        root = {"name": "label", "level": "label", "children": {label: label for label in labels}}
        return Tree.from_spec(TreeSpec.model_validate({"name": "labels", "root": root}))
    if isinstance(given, Mapping):
        text = yaml.safe_dump(dict(given), sort_keys=False, allow_unicode=True)
        return Tree.from_spec(parse_spec(text, "tree"), "tree")
    return load_tree(given)
