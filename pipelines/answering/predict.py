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

from ...hierarchy import GROUP_NAMES, HierError, UnknownNameError
from ...models.classifier import Answer, Classifier, check_tolerance
from ...models.evidence.batches import on_cpu, rows
from ...models.evidence.crops import Box, View, best_view, cut, stacked
from ...models.evidence.flatten import Flattened
from ...models.parts import SURE, clearest_part
from ...models.regions.finding import regions_and_best, repeats_best
from ...models.routing.partial import Statements, candidates, climb, in_words
from ...models.routing.router import ROUTERS, Router
from ..reading.calibrated import is_one
from ..reading.images import PLAIN, ImageError, ImageLike, Read
from ..reading.picture import Reading
from ..straightening.judged import Judged, doubt, judged
from ..straightening.options import Rectification
from ..straightening.said import FieldFound
from .ahead import read_each, readers
from .asked import Asked, view_of
from .cells import shared_cell
from .confidence import Held
from .ladder import rungs, scores_of
from .refused import NOT_PERIODIC
from .regions import RegionFound
from .results import Failure, Prediction, Step
from .symmetry import Analysis, ImageSource, find_symmetry, lattice_tried, with_best
from .words import percent

BATCH, LARGE = 16, 256  # images at a time on a processor, whose cache they fit into, and on a card
CLIMB = 0.9  # minimum confidence of ``climb`` if none is given
AHEAD = 2 * BATCH  # images read before their answers are given out: those of one size share a batch
NARROWEST = 64  # px: the shorter side of the rectangle of a region that is answered
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
        tolerance: float | None = None, rectification: Rectification | None = None, regions: bool = False,
        asked: Asked | None = None,
    ) -> None:  # fmt: skip
        """UnknownNameError for another router, BundleError when the model lacks what it needs.

        HierError for a minimum confidence outside [0, 1] or a tolerance outside (0, 1), and for a lattice that is asked
        for together with what looks for another.
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
        self.rectification = Rectification() if rectification is None else rectification
        self.regions, self.asked = regions, asked
        if asked is not None:
            asked.check(self.rectification, regions)
        self.batch = BATCH if classifier.device.type == "cpu" else LARGE
        self.ahead = AHEAD * self.batch // BATCH
        self.statements = Statements(classifier.plan)

    def predict(
        self, images: ImageLike | Sequence[ImageLike], reading: Reading = PLAIN, keep: bool = False,
        crop: str | Box | None = None, mask: Any = None, cut: bool = True,
    ) -> list[Prediction]:  # fmt: skip
        """Predictions for images: paths, arrays, tensors, PIL pictures, and more (see `images.read`).

        `reading` adds to or overrides what files say: ``Reading.of(pixel_size="0.02nm", page=3)``.
        `crop` (left, top, width, height in px), `mask` (a file or an array, not zero where it hides) and ``cut=False``
        (keep info bars, borders and scale bars) are short for a reading with them.
        Plots read files again; images in memory are not kept alive for them unless `keep`.
        Raises `ImageError` for the first one that cannot be used; `predict_each` continues with the next instead.
        """
        single = isinstance(images, (str, Path, np.ndarray, Tensor, Image.Image)) or is_one(images)
        given: Sequence[Any] = [images] if single else list(images)  # type: ignore[arg-type]
        results: list[Prediction] = []
        for found in self.predict_each(given, reading=reading.narrowed(crop, mask, cut), symmetry=True, keep=keep):
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
                with (found.source or waiting.source).at_hand(analysis):
                    _ = found.fares
                    yield found

    def _read_ahead(
        self, images: Iterable[ImageLike], advance: Callable[[int], None], reading: Reading, keep: bool
    ) -> Iterator[list[_Waiting | Failure]]:
        """Images in order, as many at a time as are answered together."""
        some: list[_Waiting | Failure] = []
        held = 0
        with closing(read_each(images, reading, readers(self.classifier.device))) as each:
            for index, (image, found) in enumerate(each):
                name = str(image) if isinstance(image, (str, Path)) else f"image {index}"
                waiting = self._waiting(ImageSource(image, name, reading, keep), found)
                some.append(waiting)
                if isinstance(waiting, Failure):
                    advance(1)
                else:
                    held += waiting.read.image[0].numel()
                if len(some) == self.ahead or held >= PIXELS:
                    yield some
                    some, held = [], 0
        yield some

    def _waiting(self, source: ImageSource, found: Read | ImageError) -> _Waiting | Failure:
        if isinstance(found, ImageError):
            return Failure(source.name, str(found))
        source.given, source.part = None if self.asked is None else self.asked.lattice, found.box
        try:
            view = view_of(found.judged, self.asked, self.classifier.device)
            return _Waiting(source, found, replace(view, part=found.box))
        except HierError as error:  # too small for the lattice that is given
            return Failure(source.name, str(error))

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
                    found = self._straightened(some[i], answer, k, symmetry)
                    if found is None:
                        found = self._prediction(some[i], answer, k, analysis, symmetry), analysis
                    results[i] = self._by_regions(some[i], found, symmetry)
                advance(len(batch))
        return (results.pop(i) for i in range(len(some)))

    def _straightened(self, w: _Waiting, seen: Answer, k: int, symmetry: bool) -> tuple[Prediction, Analysis] | None:
        """The answer for the straightened image; None where that is no better than the image as it is."""
        if w.source.given is not None:
            return None
        doubted = doubt(seen, k, w.view.scale, w.read.judged[0].numel(), self.rectification)
        if doubted is None:
            return None
        asked = {"router": self.router, "tolerance": self.tolerance, "ladder": True}
        found = judged(self.classifier, w.read.judged, doubted, self.rectification, **asked)
        if found is None:
            return None
        bent, box = found.rectified, w.read.box
        read = replace(w.read, image=bent.image, box=None)
        source = w.source if box is None else w.source.within(window=box)
        straight = replace(w, source=source, read=read, view=found.view)
        analysis = replace(_analysis(straight, found.answer, 0), bent=bent, original=w.read.judged)
        analysis = analysis if box is None else replace(analysis, whole=w.read.image)
        straight.source.straight = bent.field, bent.linear
        made = self._prediction(straight, found.answer, 0, analysis, symmetry, found)
        region = made.region and _moved(made.region, box)
        return replace(made, judged=box, region=region), analysis

    def _by_regions(
        self, w: _Waiting, whole: tuple[Prediction, Analysis], symmetry: bool
    ) -> tuple[Prediction, Analysis]:
        """The answer `whole` where the image is periodic, else that for a part or region of it; with all regions.

        Regions are looked for where they are asked for, and where nothing else is periodic.
        """
        if whole[0].periodic and not self.regions:
            return whole
        if w.source.given is not None:
            return _refused(whole)
        part = None if whole[0].periodic or self.regions else self._in_part(w, symmetry)
        if part is not None:
            return part
        each, best = self._each_region(w, symmetry)
        regions = tuple(region for region, _ in each)
        if whole[0].periodic:
            return replace(whole[0], regions=regions), whole[1]
        if not each:
            known = whole[1].view.pixels is w.read.judged  # all of it was analysed, as it is
            return (self._in_part(w, symmetry) if self.regions else None) or _refused(whole, best, known)
        return replace(regions[0].answer, regions=regions), each[0][1]

    def _each_region(self, w: _Waiting, symmetry: bool) -> tuple[list[tuple[RegionFound, Analysis]], Box | None]:
        """The regions of an image that are periodic, the largest first, with their answers; where it repeats best."""
        made = []
        regions, best = regions_and_best(w.read.judged)
        for region in regions:
            region = region.moved(*(w.read.box or (0, 0))[:2])
            box, pixels = region.within, cut(w.read.image, region.within)
            if min(box[2:]) < NARROWEST:
                continue
            view = best_view(pixels, self.classifier.device)
            images, lattice = stacked([view])
            answer = on_cpu(self.classifier.answer(images, self.router, lattice, self.tolerance, ladder=True))
            alone = _Waiting(w.source.within(window=box), replace(w.read, image=pixels, box=None), view)
            found = self._straightened(alone, answer, 0, symmetry)
            if found is not None:
                found = replace(found[0], region=box), replace(found[1], whole=w.read.image)
            else:
                here = replace(w, source=w.source.within(part=box), view=replace(view, part=box))
                analysis = _analysis(here, answer, 0)
                found = self._prediction(here, answer, 0, analysis, symmetry), analysis
            if found[0].periodic_probability >= SURE:
                made.append((RegionFound.of(region, *found), found[1]))
        return made, best

    def _in_part(self, w: _Waiting, symmetry: bool) -> tuple[Prediction, Analysis] | None:
        """The answer for the part of a refused image that shows a pattern most surely; None if none does surely."""
        found = clearest_part(self.classifier, w.read.judged, self.router, self.tolerance, ladder=True)
        if found is None:
            return None
        found = replace(found[0], part=found[0].part and _moved(found[0].part, w.read.box)), *found[1:]
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
        held = None if found is None or answer.groups is None else Held.of(answer.groups, k, analysis.structure)
        denial = "" if held is None else held.denial(open_to[0], self.tolerance)
        holds = None if held is None else held.share(open_to[0])
        says = in_words(self.classifier.bundle.tree, self.statements, statement, p) if periodic else NOT_PERIODIC
        if held is not None and denial:
            says = f"undecided: {found} is likeliest, {percent(p)}, but {denial}"
            found, open_to = None, held.holding(labels, self.tolerance)
        asked, origin = (None, None) if self.asked is None else (self.asked.group, self.asked.origin)
        shown = (asked if periodic else None) or found
        w.source.strain = self.rectification.strain or self.classifier.strain / 4
        cell = shared_cell(analysis.lattice.basis[0].double().numpy() * w.view.scale, open_to)
        return Prediction(
            file=w.source.name,
            group=found,
            probability=p * share,
            periodic=periodic,
            periodic_probability=pattern,
            path=tuple(Step(*step, self._choices(answer, k, step[0])) for step in steps) if periodic else (),
            groups={name: float(v) * share for name, v in zip(labels, logp.exp(), strict=True)},
            lattice=cell.with_lengths(w.read.pixel_size) if periodic else None,
            statement=says,
            held=holds,
            candidates=open_to if periodic else (),
            disagreement=None if unsure is None else float(unsure[k]),
            symmetry=find_symmetry(analysis, shown, origin) if symmetry and shown in GROUP_NAMES else None,
            tried=lattice_tried(analysis) if symmetry and shown not in GROUP_NAMES else None,
            tolerance=self.tolerance,
            ladder=rungs(answer.ladder.stretches(k), labels, w.view.scale) if answer.ladder and periodic else (),
            scores=() if answer.groups is None or not symmetry else scores_of(answer.groups, k),
            flattened=_flattened(w.view.flat or answer.flat, 0 if w.view.flat else k),
            judged=w.read.box,
            left_out=w.read.left_out,
            region=(None if w.view.part == w.read.box else w.view.part)
            if straight is None or straight.rectified.field.within is None
            else straight.rectified.box(),
            field=None if straight is None else FieldFound.of(straight.rectified, self.rectification.focal),
            possible=() if straight is None else straight.possible,
            pixel_size=w.read.pixel_size,
            asked=self.asked,
            source=w.source,
        )

    def _choices(self, answer: Answer, k: int, node: str) -> dict[str, float]:
        p = self.classifier.given(answer, k)[node].exp().tolist()
        return dict(zip(self.classifier.bundle.tree.choices(node), p, strict=True))


def _analysis(w: _Waiting, answer: Answer, k: int) -> Analysis:
    """What image `k` of a batch was answered from."""
    assert answer.lattice is not None  # it is an answer to images, not to evidence
    assert answer.structure is not None
    one = slice(k, k + 1)
    return Analysis(w.read.image, w.view, rows(answer.lattice, one), rows(answer.structure, one))


def _refused(
    whole: tuple[Prediction, Analysis], best: Box | None = None, known: bool = False
) -> tuple[Prediction, Analysis]:
    """The answer for an image that is refused, with where it repeats `best`, which is looked for unless `known`."""
    found, analysis = whole
    if found.periodic or found.tried is None:
        return whole
    best = best if known else repeats_best(analysis.view.pixels.cpu())
    return replace(found, tried=with_best(found.tried, analysis.view, best)), analysis


def _moved(box: Box, within: Box | None) -> Box:
    """A box in px of another, in px of what that is in."""
    left, top, *_ = within or (0, 0)
    return box[0] + left, box[1] + top, box[2], box[3]


def _flattened(flat: Flattened | None, index: int) -> dict[str, bool | float]:
    """What was taken from an image, by name."""
    return {} if flat is None else {f.name: getattr(flat, f.name)[index].item() for f in fields(Flattened)}
