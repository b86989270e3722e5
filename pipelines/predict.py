"""Predict: images of any kind to typed results, in batches of one size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
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
from .images import PLAIN, ImageError, ImageLike, read
from .picture import Reading
from .pixel_size import PixelSize
from .registry_files import local_model

BATCH = 16
AHEAD = 2 * BATCH  # images read before their answers are given out: those of one size share a batch


@dataclass(frozen=True)
class Step:
    """One step down the tree: `choice` was taken at `node` with this probability, given that the node was reached."""

    node: str
    level: str
    choice: str
    probability: float


@dataclass(frozen=True)
class LatticeFound:
    """Conventional cell of the group found: `a`, `b` in px, `gamma` in degrees, and its lattice `system`.

    `a_length` and `b_length` are the same in `unit` (pm, A, nm, um, mm, cm or m) where the size of a pixel is known.
    """

    a: float
    b: float
    gamma: float
    system: str
    centred: bool
    a_length: float | None = None
    b_length: float | None = None
    unit: str | None = None

    def with_lengths(self, pixel: PixelSize | None) -> LatticeFound:
        """The same cell with lengths in the pixel's unit; without a pixel size, itself."""
        if pixel is None:
            return self
        return replace(self, a_length=self.a * pixel.value, b_length=self.b * pixel.value, unit=pixel.unit)


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


@dataclass(frozen=True)
class _Waiting:
    """An image that has been read and waits for its batch."""

    index: int
    name: str
    view: View
    pixel_size: PixelSize | None


class Predictor:
    """Images to predictions; make it with `load`."""

    def __init__(self, classifier: Classifier, router: Router = "soft") -> None:
        self.classifier, self.router = classifier, router

    def predict(self, images: ImageLike | Sequence[ImageLike], reading: Reading = PLAIN) -> list[Prediction]:
        """Predictions for images: paths, arrays (see `images.read`), tensors or PIL pictures.

        `reading` says what files do not: ``Reading.of(pixel_size="0.02nm", page=3)``.
        Raises `ImageError` for the first one that cannot be used; `predict_each` goes on instead.
        """
        single = isinstance(images, (str, Path, np.ndarray, Tensor, Image.Image))
        given: Sequence[Any] = [images] if single else list(images)  # type: ignore[arg-type]
        results: list[Prediction] = []
        for found in self.predict_each(given, reading=reading):
            if isinstance(found, Failure):
                raise ImageError(f"{found.file}: {found.error}")
            results.append(found)
        return results

    def predict_each(
        self, images: Iterable[ImageLike], advance: Callable[[int], None] = lambda _: None, reading: Reading = PLAIN
    ) -> Iterator[Prediction | Failure]:
        """One `Prediction` or `Failure` for each image, in order, as they are asked for: `AHEAD` are held at most."""
        waiting = enumerate(images)
        while some := list(islice(waiting, AHEAD)):
            yield from self._answered(some, advance, reading)

    def _answered(
        self, some: Sequence[tuple[int, ImageLike]], advance: Callable[[int], None], reading: Reading
    ) -> list[Prediction | Failure]:
        results: dict[int, Prediction | Failure] = {}
        sizes: dict[tuple[int, ...], list[_Waiting]] = {}
        for i, image in some:
            try:
                found = read(image, reading)
            except ImageError as error:
                results[i] = Failure(_name(image, i), str(error))
                advance(1)
                continue
            view = best_view(found.image)
            sizes.setdefault(tuple(view.image.shape), []).append(_Waiting(i, _name(image, i), view, found.pixel_size))
        for same in sizes.values():
            for start in range(0, len(same), BATCH):
                batch = same[start : start + BATCH]
                answer = self.classifier.answer(torch.stack([w.view.image for w in batch]), self.router)
                for k, w in enumerate(batch):
                    results[w.index] = self._prediction(w.name, answer, k, w.view.scale, w.pixel_size)
                advance(len(batch))
        return [results[i] for i, _ in some]

    def _prediction(self, file: str, answer: Answer, k: int, scale: float, pixel: PixelSize | None) -> Prediction:
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
            lattice=self._lattice(answer, k, label, scale, pixel) if periodic else None,
        )

    @staticmethod
    def _lattice(answer: Answer, k: int, label: str, scale: float, pixel: PixelSize | None) -> LatticeFound | None:
        if answer.lattice is None:
            return None
        basis = answer.lattice.basis[k].cpu().double().numpy() * scale
        return conventional(basis, label).with_lengths(pixel)


def load(model: Path | str | None = None, device: str = "cpu", router: Router = "soft") -> Predictor:
    """A predictor from a bundle's folder or card or ``models:/NAME@ALIAS``; the bundled one, offline, by default.

    >>> import hier, numpy as np
    >>> x = np.arange(200)
    >>> waves = np.cos(x / 4)[:, None] + np.cos(x / 4)[None]
    >>> hier.load().predict(waves)[0].group
    'p4m'
    """
    return Predictor(Classifier.load(BUNDLED if model is None else local_model(model), device), router)


def conventional(basis: NDArray[np.float64], label: str) -> LatticeFound:
    """The conventional cell of the group `label` from the reduced primitive `basis` (2, 2) px."""
    a, b = conventional_vectors(basis, label)
    known = label in GROUP_NAMES
    name, centred = (group(label).lattice_system, group(label).centred) if known else ("oblique", False)
    gamma = float(np.degrees(np.arccos(np.clip(_cosine(a, b), -1, 1))))
    return LatticeFound(float(np.linalg.norm(a)), float(np.linalg.norm(b)), gamma, name, centred)


def conventional_vectors(basis: NDArray[np.float64], label: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same cell's vectors `a` and `b` (x right, y down) px."""
    a, b = basis.T
    if label in GROUP_NAMES and group(label).centred:
        # two ways to see a rhombus in a reduced cell: take the one with the right angle
        a, b = min(((a + b, a - b), (a, a + 2 * b)), key=lambda cell: abs(_cosine(*cell)))
        a, b = (a, b) if np.linalg.norm(a) <= np.linalg.norm(b) else (b, a)
    return a, b


def _cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def _name(image: ImageLike, index: int) -> str:
    return str(image) if isinstance(image, (str, Path)) else f"image {index}"
