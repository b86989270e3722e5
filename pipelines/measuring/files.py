"""Answers to image files of many sizes, in batches of one size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...models.classifier import Answer, Classifier
from ...models.evidence.crops import View, best_view, stacked
from ...models.parts import clearest_part
from ...models.routing.router import Router
from ..reading.images import ImageError, read_judged
from ..straightening.judged import doubt, judged
from ..straightening.options import WHERE_IT_HELPS, Rectification

BATCH = 16


def answer_files(
    classifier: Classifier, files: Sequence[Path], router: Router, errors: dict[str, str],
    advance: Callable[[int], None] = lambda _: None, tolerance: float | None = None,
    rectification: Rectification = WHERE_IT_HELPS,
) -> Iterator[tuple[list[int], Answer]]:  # fmt: skip
    """(indices into `files`, their answer) for batches of images of one size, as they fill.

    Images are straightened where that helps, and for one that is refused as a whole the answer is that of its clearest
    part, if there is one; unlike in `hier predict` regions are not looked for. Files that cannot be read are put into
    `errors`, with the reason, and have no answer.
    """
    batches: dict[tuple[object, ...], list[tuple[int, View, int]]] = defaultdict(list)

    def answered(batch: list[tuple[int, View, int]]) -> tuple[list[int], Answer]:
        images, lattice = stacked([view for _, view, _ in batch])
        seen = answer = replace(
            classifier.answer(images, router, lattice, tolerance), structure=None
        )  # 100 kB an image
        for k, (index, view, pixels) in enumerate(batch):
            doubted = doubt(seen, k, view.scale, pixels, rectification)
            refused = float(seen.pattern[k]) < 0.5
            if doubted is None and not refused:
                continue
            image = read_judged(files[index])  # once more: kept, large images would fill the memory
            asked = {"router": router, "tolerance": tolerance}
            anew = judged(classifier, image, doubted, rectification, **asked) if doubted else None
            if anew is not None:
                answer = _with_row(answer, k, anew.answer, 0)
            elif refused and (found := clearest_part(classifier, image, router, tolerance)):
                answer = _with_row(answer, k, found[1], found[2])
        return [index for index, _, _ in batch], answer

    for index, file in enumerate(files):
        try:
            image = read_judged(file)
            view = best_view(image, classifier.device)
        except ImageError as error:
            errors[str(file)] = str(error)
        else:
            size = (*view.image.shape, view.lattice is None)
            batches[size].append((index, view, image[0].numel()))
            if len(batches[size]) == BATCH:
                yield answered(batches.pop(size))
        advance(1)
    for batch in batches.values():
        yield answered(batch)


def straight(
    classifier: Classifier, images: Tensor, answer: Answer, rectification: Rectification, **asked: Any
) -> Answer:
    """The `answer` to images (B, 3, H, W) with those answered anew that are straightened."""
    seen = answer
    for k, image in enumerate(images):
        doubted = doubt(seen, k, 1.0, image[0].numel(), rectification)
        found = judged(classifier, image, doubted, rectification, **asked) if doubted else None
        if found is not None:
            answer = _with_row(answer, k, found.answer, 0)
    return replace(answer, lattice=None, structure=None, groups=None, flat=None, ladder=None)


def _with_row(answer: Answer, k: int, other: Answer, j: int) -> Answer:
    """An answer whose image `k` is answered as image `j` of another."""

    def put(mine: Tensor, its: Tensor) -> Tensor:
        return torch.cat([mine[:k], its[j : j + 1].to(mine), mine[k + 1 :]])

    unsure, its = answer.disagreement, other.disagreement
    return Answer(
        put(answer.log_probabilities, other.log_probabilities),
        put(answer.winners, other.winners),
        put(answer.pattern, other.pattern),
        {name: put(found, other.nodes[name]) for name, found in answer.nodes.items()},
        answer.router,
        None if unsure is None or its is None else put(unsure, its),
    )
