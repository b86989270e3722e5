"""Predict: images of any kind to typed results, in batches of one size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from ...hierarchy import GROUP_NAMES, HierError, UnknownNameError, group
from ...models.classifier import Answer, Classifier, check_tolerance
from ...models.evidence.batches import on_cpu, rows
from ...models.evidence.crops import View, best_view, stacked
from ...models.evidence.flatten import Flattened
from ...models.parts import clearest_part
from ...models.routing.partial import Statements, candidates, climb, in_words
from ...models.routing.router import ROUTERS, Router
from ..reading.images import PLAIN, ImageError, ImageLike, Read
from ..reading.picture import Reading
from .ahead import read_each, readers
from .cells import conventional
from .ladder import rungs, scores_of
from .rectify import Distortion, FieldFound, Judged, judged
from .results import Failure, Prediction, Step
from .symmetry import Analysis, ImageSource, find_symmetry, lattice_tried

BATCH, LARGE = 16, 256  # images at a time on a processor, whose cache they fit into, and on a card
NO_PATTERN = "no pattern"
CLIMB = 0.9  # minimum confidence of ``climb`` if none is given
AHEAD = 2 * BATCH  # images read before their answers are given out: those of one size share a batch
PIXELS = 2**25  # px of them: 32 images of 1024 px, or 512 of 256 px, 400 MB in colour


@dataclass(frozen=True)
class _Waiting:
    """An image that has been read and waits for its batch."""

    source: ImageSource
    read: Read
    view: View


class Predictor:
    """Images to predictions; make it with `load`."""

    def __init__(
        self, classifier: Classifier, router: Router = "soft", min_confidence: float | None = None,
        tolerance: float | None = None, distortion: Distortion | None = None,
    ) -> None:  # fmt: skip
        """UnknownNameError for another router, BundleError when the model lacks what it needs.

        HierError for a minimum confidence outside [0, 1] or a tolerance outside (0, 1).
        """
        if router not in ROUTERS:
            raise UnknownNameError("router", router, ROUTERS)
        check_tolerance(tolerance)
        if min_confidence is None:
            min_confidence = CLIMB if router == "climb" else 0.0
        if not 0 <= min_confidence <= 1:
            raise HierError(f"a minimum confidence of {min_confidence} is not a probability: give 0 to 1")
        classifier.require(router)
        self.classifier, self.router, self.min_confidence = classifier, router, min_confidence
        self.tolerance = tolerance
        self.distortion = Distortion() if distortion is None else distortion
        self.batch = BATCH if classifier.device.type == "cpu" else LARGE
        self.ahead = AHEAD * self.batch // BATCH
        self.statements = Statements(classifier.plan)

    def predict(
        self, images: ImageLike | Sequence[ImageLike], reading: Reading = PLAIN, keep: bool = False
    ) -> list[Prediction]:
        """Predictions for images: paths, arrays (see `images.read`), tensors or PIL pictures.

        `reading` adds to or overrides what files say: ``Reading.of(pixel_size="0.02nm", page=3)``.
        Plots read files again; images in memory are not kept alive for them unless `keep`.
        Raises `ImageError` for the first one that cannot be used; `predict_each` continues with the next instead.
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
        """One `Prediction` or `Failure` for each image, in order, as they are asked for.

        At most `AHEAD` images are held at a time, on a card more, but of no more than `PIXELS`. A prediction keeps
        its picture for overlay and report until the next result is asked for. With `symmetry`, each prediction also
        says where the group's operations lie and how well they hold.
        """
        for some in self._read_ahead(images, advance, reading, keep):
            answered = self._answered([w for w in some if isinstance(w, _Waiting)], advance, symmetry)
            while some:  # results already yielded are released before more is read
                waiting = some.pop(0)
                if isinstance(waiting, Failure):
                    yield waiting
                    continue
                found, analysis = next(answered)
                with waiting.source.at_hand(analysis):
                    yield found

    def _read_ahead(
        self, images: Iterable[ImageLike], advance: Callable[[int], None], reading: Reading, keep: bool
    ) -> Iterator[list[_Waiting | Failure]]:
        """Images in order, as many at a time as are answered together."""
        some: list[_Waiting | Failure] = []
        held = 0
        device = self.classifier.device
        with closing(read_each(images, reading, readers(device))) as each:
            for index, (image, found) in enumerate(each):
                name = str(image) if isinstance(image, (str, Path)) else f"image {index}"
                if isinstance(found, ImageError):
                    some.append(Failure(name, str(found)))
                    advance(1)
                else:
                    source = ImageSource(image, name, reading, keep)
                    some.append(_Waiting(source, found, best_view(found.image, device)))
                    held += found.image[0].numel()
                if len(some) == self.ahead or held >= PIXELS:
                    yield some
                    some, held = [], 0
        yield some

    def _answered(
        self, some: Sequence[_Waiting], advance: Callable[[int], None], symmetry: bool
    ) -> Iterator[tuple[Prediction, Analysis]]:
        """Answers in order, and what each was found from; views of one size share batches."""
        sizes: dict[tuple[object, ...], list[int]] = {}
        for i, w in enumerate(some):
            sizes.setdefault((*w.view.image.shape, w.view.lattice is None), []).append(i)
        results: dict[int, tuple[Prediction, Analysis]] = {}
        for same in sizes.values():
            for start in range(0, len(same), self.batch):
                batch = same[start : start + self.batch]
                images, lattice = stacked([some[i].view for i in batch])
                # at once: to ask a card for every number takes longer than to compute them
                answer = on_cpu(self.classifier.answer(images, self.router, lattice, self.tolerance, ladder=True))
                for k, i in enumerate(batch):
                    analysis = _analysis(some[i], answer, k)
                    straight = self._straightened(some[i], answer, k, symmetry)
                    if straight is not None:
                        results[i] = straight
                        continue
                    found = self._prediction(some[i], answer, k, analysis, symmetry), analysis
                    results[i] = found if found[0].periodic else self._in_part(some[i], symmetry) or found
                advance(len(batch))
        return (results.pop(i) for i in range(len(some)))

    def _straightened(self, w: _Waiting, seen: Answer, k: int, symmetry: bool) -> tuple[Prediction, Analysis] | None:
        """The answer for the straightened image; None where that is no better than the image as it is."""
        asked = {"router": self.router, "tolerance": self.tolerance, "ladder": True}
        found = judged(self.classifier, w.read.image, seen, k, w.view.scale, self.distortion, **asked)
        if found is None:
            return None
        bent, straight = found.rectified, replace(w, read=replace(w.read, image=found.rectified.image), view=found.view)
        analysis = replace(_analysis(straight, found.answer, 0), bent=bent, original=w.read.image)
        w.source.straight = bent.field, bent.linear
        return self._prediction(straight, found.answer, 0, analysis, symmetry, found), analysis

    def _in_part(self, w: _Waiting, symmetry: bool) -> tuple[Prediction, Analysis] | None:
        """The answer for the part of a refused image that shows a pattern most surely; None if none does surely."""
        found = clearest_part(self.classifier, w.read.image, self.router, self.tolerance, ladder=True)
        if found is None:
            return None
        view, answer, k = found[0], on_cpu(found[1]), found[2]
        waiting = replace(w, view=view)
        analysis = _analysis(waiting, answer, k)
        w.source.part = view.part
        return self._prediction(waiting, answer, k, analysis, symmetry), analysis

    def _prediction(
        self, w: _Waiting, answer: Answer, k: int, analysis: Analysis, symmetry: bool, straight: Judged | None = None
    ) -> Prediction:
        logp, labels = answer.log_probabilities[k], self.classifier.labels
        winner = answer.winners[k : k + 1]
        said = climb(self.statements, logp[None], self.min_confidence, winner if self.router == "bayes" else None)
        statement, p = int(said.statement), float(said.probability)
        open_to = candidates(self.statements, statement)
        pattern = float(answer.pattern[k])
        periodic = pattern >= 0.5
        share = 1.0 if periodic else pattern
        steps = self.classifier.path(answer, k, open_to[0])[: int(self.statements.steps[statement])]
        unsure = answer.disagreement
        found = open_to[0] if periodic and len(open_to) == 1 else None
        cell = conventional(analysis.lattice.basis[0].double().numpy() * w.view.scale, _alike(open_to))
        return Prediction(
            file=w.source.name,
            group=found,
            probability=p * share,
            periodic=periodic,
            periodic_probability=pattern,
            path=tuple(Step(*step, self._choices(answer, k, step[0])) for step in steps) if periodic else (),
            groups={name: float(v) * share for name, v in zip(labels, logp.exp(), strict=True)},
            lattice=cell.with_lengths(w.read.pixel_size) if periodic else None,
            statement=in_words(self.classifier.bundle.tree, self.statements, statement, p) if periodic else NO_PATTERN,
            candidates=open_to if periodic else (),
            disagreement=None if unsure is None else float(unsure[k]),
            symmetry=find_symmetry(analysis, found) if symmetry and found in GROUP_NAMES else None,
            tried=lattice_tried(analysis) if symmetry and found not in GROUP_NAMES else None,
            tolerance=self.tolerance,
            ladder=rungs(answer.ladder.stretches(k), labels, w.view.scale) if answer.ladder and periodic else (),
            scores=() if answer.groups is None or not symmetry else scores_of(answer.groups, k),
            flattened=_flattened(w.view.flat or answer.flat, 0 if w.view.flat else k),
            region=w.view.part,
            field=None if straight is None else FieldFound.of(straight.rectified, self.distortion),
            possible=() if straight is None else straight.possible,
            pixel_size=w.read.pixel_size,
            source=w.source,
        )

    def _choices(self, answer: Answer, k: int, node: str) -> dict[str, float]:
        p = answer.nodes[node][k].exp().tolist()
        return dict(zip(self.classifier.bundle.tree.choices(node), p, strict=True))


def _analysis(w: _Waiting, answer: Answer, k: int) -> Analysis:
    """What image `k` of a batch was answered from."""
    assert answer.lattice is not None  # it is an answer to images, not to evidence
    assert answer.structure is not None
    one = slice(k, k + 1)
    return Analysis(w.read.image, w.view, rows(answer.lattice, one), rows(answer.structure, one))


def _flattened(flat: Flattened | None, index: int) -> dict[str, bool | float]:
    """What was taken from an image, by name."""
    return {} if flat is None else {f.name: getattr(flat, f.name)[index].item() for f in fields(Flattened)}


def _alike(labels: Sequence[str]) -> str:
    """A label that stands for all if their cells are of one kind, else no label."""
    cells = {(group(x).lattice_system, group(x).centred) if x in GROUP_NAMES else None for x in labels}
    return labels[0] if len(cells) == 1 else ""
