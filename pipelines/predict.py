"""Predict: images of any kind to typed results, in batches of one size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..hierarchy import GROUP_NAMES, group
from ..models.bundle import BUNDLED
from ..models.classifier import Answer, Classifier
from ..models.router import Router
from ..models.views import View, best_view
from .images import ImageError, read_image

BATCH = 16
ImageLike = Path | str | NDArray[Any] | Image.Image | Tensor


@dataclass(frozen=True)
class Step:
    """One step down the tree: `choice` was taken at `node` with this probability, given that the node was reached."""

    node: str
    level: str
    choice: str
    probability: float


@dataclass(frozen=True)
class LatticeFound:
    """Conventional cell of the group found: `a`, `b` in px, `gamma` in degrees, and its lattice `system`."""

    a: float
    b: float
    gamma: float
    system: str
    centred: bool


@dataclass(frozen=True)
class Prediction:
    """Answer for one image.

    `group` is None when the image is not periodic, and `probability` then is what the likeliest group would
    have. `groups` are the probabilities of all labels, which sum to one for a periodic image and to
    `periodic_probability` for another. `path` leads from the root to the group.
    """

    file: str
    group: str | None
    probability: float
    periodic: bool
    periodic_probability: float
    path: tuple[Step, ...]
    groups: dict[str, float]
    lattice: LatticeFound | None

    def as_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return asdict(self) | {"path": [asdict(step) for step in self.path]}


@dataclass(frozen=True)
class Failure:
    """An image that could not be used, and why."""

    file: str
    error: str

    def as_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return asdict(self)


class Predictor:
    """Images to predictions; make it with `load`."""

    def __init__(self, classifier: Classifier, router: Router = "soft") -> None:
        self.classifier, self.router = classifier, router

    def predict(self, images: ImageLike | Sequence[ImageLike]) -> list[Prediction]:
        """Predictions for images: paths, arrays (see `images.read_image`), tensors or PIL pictures.

        Raises `ImageError` for the first one that cannot be used; `predict_each` goes on instead.
        """
        single = isinstance(images, (str, Path, np.ndarray, Tensor, Image.Image))
        given: Sequence[Any] = [images] if single else list(images)  # type: ignore[arg-type]
        results: list[Prediction] = []
        for found in self.predict_each(given):
            if isinstance(found, Failure):
                raise ImageError(f"{found.file}: {found.error}")
            results.append(found)
        return results

    def predict_each(
        self, images: Sequence[ImageLike], advance: Callable[[int], None] = lambda _: None
    ) -> list[Prediction | Failure]:
        """One `Prediction` or `Failure` for each image, in order."""
        results: dict[int, Prediction | Failure] = {}
        waiting: dict[tuple[int, ...], list[tuple[int, View]]] = {}
        for i, image in enumerate(images):
            try:
                view = best_view(read_image(image))
            except ImageError as error:
                results[i] = Failure(_name(image, i), str(error))
                advance(1)
                continue
            same = waiting.setdefault(tuple(view.image.shape), [])
            same.append((i, view))
            if len(same) == BATCH:
                self._flush(waiting.pop(tuple(view.image.shape)), images, results, advance)
        for same in waiting.values():
            self._flush(same, images, results, advance)
        return [results[i] for i in range(len(images))]

    def _flush(
        self, batch: list[tuple[int, View]], images: Sequence[ImageLike],
        results: dict[int, Prediction | Failure], advance: Callable[[int], None],
    ) -> None:  # fmt: skip
        answer = self.classifier.answer(torch.stack([view.image for _, view in batch]), self.router)
        for k, (i, view) in enumerate(batch):
            results[i] = self._prediction(_name(images[i], i), answer, k, view.scale)
        advance(len(batch))

    def _prediction(self, file: str, answer: Answer, k: int, scale: float) -> Prediction:
        p = answer.log_probabilities[k].exp().cpu()
        labels = self.classifier.labels
        label = labels[int(p.argmax())]
        pattern = float(answer.pattern[k])
        periodic = pattern >= 0.5
        share = 1.0 if periodic else pattern
        return Prediction(
            file=file,
            group=label if periodic else None,
            probability=float(p.max()) * share,
            periodic=periodic,
            periodic_probability=pattern,
            path=tuple(Step(*step) for step in self.classifier.path(answer, k, label)) if periodic else (),
            groups={name: float(v) * share for name, v in zip(labels, p, strict=True)},
            lattice=self._lattice(answer, k, label, scale) if periodic else None,
        )

    @staticmethod
    def _lattice(answer: Answer, k: int, label: str, scale: float) -> LatticeFound | None:
        if answer.lattice is None:
            return None
        return conventional(answer.lattice.basis[k].cpu().double().numpy() * scale, label)


def load(model: Path | str | None = None, device: str = "cpu", router: Router = "soft") -> Predictor:
    """A predictor from a bundle's folder or card, the bundled one by default; works offline.

    >>> import hier, numpy as np
    >>> x = np.arange(200)
    >>> waves = np.cos(x / 4)[:, None] + np.cos(x / 4)[None]
    >>> hier.load().predict(waves)[0].group
    'p4m'
    """
    return Predictor(Classifier.load(model or BUNDLED, device), router)


def conventional(basis: NDArray[np.float64], label: str) -> LatticeFound:
    """The conventional cell of the group `label` from the reduced primitive `basis` (2, 2) px."""
    a, b = basis.T
    name = "oblique"
    centred = False
    if label in GROUP_NAMES:
        name, centred = group(label).lattice_system, group(label).centred
    if centred:  # two ways to see a rhombus in a reduced cell: take the one with the right angle
        a, b = min(((a + b, a - b), (a, a + 2 * b)), key=lambda cell: abs(_cosine(*cell)))
        a, b = (a, b) if np.linalg.norm(a) <= np.linalg.norm(b) else (b, a)
    gamma = float(np.degrees(np.arccos(np.clip(_cosine(a, b), -1, 1))))
    return LatticeFound(float(np.linalg.norm(a)), float(np.linalg.norm(b)), gamma, name, centred)


def _cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def _name(image: ImageLike, index: int) -> str:
    return str(image) if isinstance(image, (str, Path)) else f"image {index}"
