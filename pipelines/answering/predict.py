"""Predict: images of any kind to typed results, in batches of one size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...hierarchy import GROUP_NAMES, HierError, group
from ...models.classifier import Answer, Classifier
from ...models.evidence.crops import View, best_view
from ...models.evidence.lattice import Lattice
from ...models.routing.partial import Statements, candidates, climb, in_words
from ...models.routing.router import Router
from ..reading.images import PLAIN, ImageError, ImageLike, read
from ..reading.picture import Reading
from ..reading.pixel_size import PixelSize
from .results import Failure, LatticeFound, Prediction, Step, conventional
from .symmetry import ImageSource, find_symmetry

BATCH = 16
NO_PATTERN = "no pattern"
CLIMB = 0.9  # least confidence of ``climb`` if none is given
AHEAD = 2 * BATCH  # images read before their answers are given out: those of one size share a batch


@dataclass(frozen=True)
class _Waiting:
    """An image that has been read and waits for its batch."""

    index: int
    name: str
    view: View
    pixel_size: PixelSize | None
    size: tuple[int, int]


class Predictor:
    """Images to predictions; make it with `load`."""

    def __init__(self, classifier: Classifier, router: Router = "soft", min_confidence: float | None = None) -> None:
        """BundleError when the model lacks what the router needs, HierError for a confidence that is none."""
        if min_confidence is None:
            min_confidence = CLIMB if router == "climb" else 0.0
        if not 0 <= min_confidence <= 1:
            raise HierError(f"a least confidence of {min_confidence} is no probability: give 0 to 1")
        classifier.require(router)
        self.classifier, self.router, self.min_confidence = classifier, router, min_confidence
        self.statements = Statements(classifier.plan)

    def predict(
        self, images: ImageLike | Sequence[ImageLike], reading: Reading = PLAIN, keep: bool = False
    ) -> list[Prediction]:
        """Predictions for images: paths, arrays (see `images.read`), tensors or PIL pictures.

        `reading` says what files do not: ``Reading.of(pixel_size="0.02nm", page=3)``.
        Plots read files again; images in memory are not kept alive for them unless `keep`.
        Raises `ImageError` for the first one that cannot be used; `predict_each` goes on instead.
        """
        single = isinstance(images, (str, Path, np.ndarray, Tensor, Image.Image))
        given: Sequence[Any] = [images] if single else list(images)  # type: ignore[arg-type]
        results: list[Prediction] = []
        for found in self.predict_each(given, reading=reading, symmetry=True, keep=keep):
            if isinstance(found, Failure):
                raise ImageError(f"{found.file}: {found.error}")
            results.append(found)
        return results

    def predict_each(
        self, images: Iterable[ImageLike], advance: Callable[[int], None] = lambda _: None, reading: Reading = PLAIN,
        symmetry: bool = False, keep: bool = False,
    ) -> Iterator[Prediction | Failure]:  # fmt: skip
        """One `Prediction` or `Failure` for each image, in order, as they are asked for: `AHEAD` are held at most.

        With `symmetry`, each also says where the group's operations lie and how well they hold.
        """
        waiting = enumerate(images)
        while some := list(islice(waiting, AHEAD)):
            for found, source in zip(self._answered(some, advance, reading, symmetry), some, strict=True):
                if isinstance(found, Prediction):
                    found = replace(found, source=ImageSource(source[1], found.file, reading, keep))
                yield found

    def _answered(
        self, some: Sequence[tuple[int, ImageLike]], advance: Callable[[int], None], reading: Reading, symmetry: bool
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
            size = found.image.shape[-1], found.image.shape[-2]
            waiting = _Waiting(i, _name(image, i), view, found.pixel_size, size)
            sizes.setdefault(tuple(view.image.shape), []).append(waiting)
        for same in sizes.values():
            for start in range(0, len(same), BATCH):
                batch = same[start : start + BATCH]
                answer = self.classifier.answer(torch.stack([w.view.image for w in batch]), self.router)
                for k, w in enumerate(batch):
                    results[w.index] = self._prediction(w.name, answer, k, w.view.scale, w.pixel_size)
                if symmetry:
                    results.update(_with_symmetry(batch, results, answer.lattice))
                advance(len(batch))
        return [results[i] for i, _ in some]

    def _prediction(self, file: str, answer: Answer, k: int, scale: float, pixel: PixelSize | None) -> Prediction:
        logp, labels = answer.log_probabilities[k].cpu(), self.classifier.labels
        winner = answer.winners[k : k + 1].cpu()
        said = climb(self.statements, logp[None], self.min_confidence, winner if self.router == "bayes" else None)
        statement, p = int(said.statement), float(said.probability)
        open_to = candidates(self.statements, statement)
        pattern = float(answer.pattern[k])
        periodic = pattern >= 0.5
        share = 1.0 if periodic else pattern
        steps = self.classifier.path(answer, k, open_to[0])[: int(self.statements.steps[statement])]
        unsure = answer.disagreement
        return Prediction(
            file=file,
            group=open_to[0] if periodic and len(open_to) == 1 else None,
            probability=p * share,
            periodic=periodic,
            periodic_probability=pattern,
            path=tuple(Step(*step, self._choices(answer, k, step[0])) for step in steps) if periodic else (),
            groups={name: float(v) * share for name, v in zip(labels, logp.exp(), strict=True)},
            lattice=self._lattice(answer, k, _alike(open_to), scale, pixel) if periodic else None,
            statement=in_words(self.classifier.bundle.tree, self.statements, statement, p) if periodic else NO_PATTERN,
            candidates=open_to if periodic else (),
            disagreement=None if unsure is None else float(unsure[k]),
            pixel_size=pixel,
        )

    def _choices(self, answer: Answer, k: int, node: str) -> dict[str, float]:
        p = answer.nodes[node][k].exp().tolist()
        return dict(zip(self.classifier.bundle.tree.choices(node), p, strict=True))

    @staticmethod
    def _lattice(answer: Answer, k: int, label: str, scale: float, pixel: PixelSize | None) -> LatticeFound | None:
        if answer.lattice is None:
            return None
        basis = answer.lattice.basis[k].cpu().double().numpy() * scale
        return conventional(basis, label).with_lengths(pixel)


def _with_symmetry(
    batch: Sequence[_Waiting], results: Mapping[int, Prediction | Failure], lattice: Lattice | None
) -> dict[int, Prediction]:
    """The predictions of a batch that have one of the 17 groups, with their operations."""
    made: dict[int, Prediction] = {}
    for k, w in enumerate(batch):
        found = results[w.index]
        if isinstance(found, Prediction) and found.group in GROUP_NAMES and lattice is not None:
            basis = lattice.basis[k : k + 1]
            placed = find_symmetry(w.view, basis, found.group, w.size)
            made[w.index] = replace(found, symmetry=placed)
    return made


def _alike(labels: Sequence[str]) -> str:
    """A label that stands for the cells of all, no label where they differ."""
    cells = {(group(x).lattice_system, group(x).centred) if x in GROUP_NAMES else None for x in labels}
    return labels[0] if len(cells) == 1 else ""


def _name(image: ImageLike, index: int) -> str:
    return str(image) if isinstance(image, (str, Path)) else f"image {index}"
