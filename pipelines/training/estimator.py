"""A classifier in the manner of scikit-learn, for labels and a tree of your own, trained on the images given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
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
from ..devices import fastest
from ..generating.evidence import EvidenceSet
from ..generating.parts import BATCH
from ..reading.images import ImageError, ImageLike, read_image
from .best import Best, Enough
from .data import samples_of
from .fit import Samples, batch_of, fit
from .loop import Metrics, Schedule

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
    validation_fraction : the share of images, drawn evenly from the labels, that is left out of training and watched: a
        network keeps the weights of its best epoch on them. None trains on all images.
    patience : stop training a network after so many epochs without a better one; None trains all epochs.
    verbose : print a line for each epoch.
    swap_axes : train on images with their two lattice vectors exchanged, too, so that labels do not depend on which is
        the shorter. False where they do: mirrors along the shorter vector or along the longer, say.
    random_state : a seed, with which the same images and settings make the same classifier on one machine; None, a
        numpy RandomState or a Generator draws the seed at every `fit`.
    device : where torch computes; ``auto`` is the fastest device on which hier works.

    Attributes
    ----------
    classes_ : the labels (k,), sorted, as they were given; the columns of `predict_proba`.
    tree_ : the `Tree`.
    nodes_ : its `NodeClassifier` of each name.
    device_ : where it was trained, and answers.

    Images are paths, arrays (n, H, W) or (n, H, W, C), or a list of whatever `hier.load().predict` takes, of any sizes.
    It has no gate: every image gets one of its labels, whether it is periodic or not.
    """

    def __init__(
        self, tree: str | Path | Mapping[str, Any] | None = None, *, backbone: str = "lcnet_050",
        epochs: int | None = None, tune_epochs: int | None = None, lr: float = 5e-3, tune_lr: float = 1e-3,
        batch: int = 128, validation_fraction: float | None = None, patience: int | None = None,
        verbose: bool = False, swap_axes: bool = True,
        random_state: int | np.random.RandomState | np.random.Generator | None = 0, device: str = "cpu",
    ) -> None:  # fmt: skip
        self.tree = tree
        self.backbone = backbone
        self.epochs = epochs
        self.tune_epochs = tune_epochs
        self.lr = lr
        self.tune_lr = tune_lr
        self.batch = batch
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.verbose = verbose
        self.swap_axes = swap_axes
        self.random_state = random_state
        self.device = device

    def fit(self, X: Images, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train on images and their labels (n,); with weights (n,), in which the loss is weighed.

        ValueError says what is wrong with them, the tree or an argument.
        """
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
        weights = _weights(sample_weight, len(images))
        self.device_ = fastest() if self.device == "auto" else self.device
        evidence = self._evidence(images, [str(label) for label in labels])
        seed = _seed(self.random_state)
        with torch.random.fork_rng():  # leave the caller's random numbers as they are
            self.nodes_ = self._trained(evidence, seed, weights)
        return self

    def _check_arguments(self) -> None:
        for name, least in (("epochs", 1), ("tune_epochs", 1), ("batch", 2), ("patience", 1)):
            value = getattr(self, name)
            if not (isinstance(value, int | np.integer) and value >= least) and not (value is None and name != "batch"):
                none = "" if name == "batch" else ", or None"
                raise ValueError(f"{name} = {value!r}: an integer of at least {least} is needed{none}")
        for name in ("lr", "tune_lr"):
            value = getattr(self, name)
            if not (isinstance(value, int | float | np.number) and 0 < value < np.inf):
                raise ValueError(f"{name} = {value!r}: a positive number is needed")
        if (share := self.validation_fraction) is not None and not 0 < share < 1:
            raise ValueError(f"validation_fraction = {share!r}: a number between 0 and 1 is needed, or None")
        if self.patience is not None and share is None:
            raise ValueError(f"patience = {self.patience}: validation_fraction is needed too, 0.2 for example")
        if self.device != "auto":
            check_device(self.device)

    def _trained(self, evidence: EvidenceSet, seed: int, weights: Tensor | None) -> dict[str, NodeClassifier]:
        plan = compile_tree(self.tree_)
        watched = self._held_out(evidence.labels, seed)
        kept, seen = (evidence, evidence) if watched is None else (_part(evidence, ~watched), _part(evidence, watched))
        own_weights = weights if weights is None or watched is None else weights[torch.from_numpy(~watched)]

        def sets(name: str | None) -> tuple[Samples, Samples]:
            """To fit to, and to watch."""
            fitted = samples_of(kept, plan, name, own_weights)
            return fitted, fitted if watched is None else samples_of(seen, plan, name)

        whole, others = sets(None)
        epochs = self.epochs or max(15, _epochs(len(whole), self.batch, STEPS))
        torch.manual_seed(seed)
        first = NodeClassifier(NodeSettings(plan.labels, self.backbone)).to(self.device_)
        shared = self._fitted("all labels", first, whole, others, Schedule(epochs, self.lr, self.batch, seed))
        nodes = {}
        for name in plan.nodes:
            (own, others), own_seed = sets(name), seed + crc32(name.encode())
            torch.manual_seed(own_seed)
            node = shared.for_choices(self.tree_.choices(name), plan.choices_at(name).tolist())
            epochs = self.tune_epochs or max(6, _epochs(len(own), self.batch, STEPS // 4))
            nodes[name] = self._fitted(name, node, own, others, Schedule(epochs, self.tune_lr, self.batch, own_seed))
        return nodes

    def _fitted(
        self, name: str, node: NodeClassifier, samples: Samples, watched: Samples, schedule: Schedule
    ) -> NodeClassifier:
        best = Best(node, self.patience)

        def report(epoch: int, metrics: Metrics) -> None:
            if self.verbose:
                print(f"{name}: epoch {epoch + 1} of {schedule.epochs}, loss {metrics['train/loss']:.4f}, "
                      f"valid {metrics['valid/loss']:.4f}, {100 * metrics['valid/accuracy']:.1f} % right")  # fmt: skip
            if watched is not samples:
                best.seen(metrics["valid/loss"])

        with suppress(Enough):
            fit(node, samples, watched, schedule, None, report, swap=self.swap_axes)
        return best.restored()

    def _held_out(self, labels: Sequence[str], seed: int) -> NDArray[np.bool_] | None:
        """Which images are watched, at least one of each label and at least one not."""
        if self.validation_fraction is None:
            return None
        random, given = np.random.default_rng(seed), np.asarray(labels)
        out = np.zeros(len(given), bool)
        for label in np.unique(given):
            own = random.permutation(np.flatnonzero(given == label))
            if len(own) < 2:
                raise ValueError(f"validation_fraction: {str(label)!r} has one image, and two are needed")
            out[own[: min(len(own) - 1, max(1, round(self.validation_fraction * len(own))))]] = True
        return out

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
        maps, numbers = evidence.maps[:].to(self.device_).float(), evidence.numbers[:].to(self.device_)
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
            found = represent(torch.stack([image for _, image in some]).to(self.device_))
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


def _part(evidence: EvidenceSet, which: NDArray[np.bool_]) -> EvidenceSet:
    keep = torch.from_numpy(np.flatnonzero(which))
    labels = tuple(label for label, kept in zip(evidence.labels, which, strict=True) if kept)
    return EvidenceSet(evidence.maps[keep], evidence.numbers[keep], labels)


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


def _weights(given: ArrayLike | None, count: int) -> Tensor | None:
    """Weights (n,) with a mean of one; ValueError for what are none."""
    if given is None:
        return None
    weights = np.asarray(given, np.float64)
    if weights.shape != (count,) or not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise ValueError(f"sample_weight: {count} numbers of at least 0, not all of them 0, are needed")
    return torch.from_numpy(weights / weights.mean()).float()


def _check_labels(tree: Tree, texts: Sequence[str]) -> None:
    missing, foreign = set(tree.labels) - set(texts), set(texts) - set(tree.labels)
    found = (("no image of", missing), ("not in the tree:", foreign))
    if lists := [f"{what} {', '.join(sorted(names))}" for what, names in found if names]:
        hint = ""
        if foreign and foreign <= {str(k) for k in range(len(texts))}:
            hint = (
                ". Some functions of scikit-learn number labels, among them cross_val_predict(method='predict_proba') "
                "and VotingClassifier"
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
