"""Answers to image files of many sizes, in batches of one size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ...models.classifier import Answer, Classifier
from ...models.evidence.crops import View, best_view, stacked
from ...models.parts import clearest_part
from ...models.routing.router import Router
from ..reading.images import ImageError, read_image

BATCH = 16


def answer_files(
    classifier: Classifier, files: Sequence[Path], router: Router, errors: dict[str, str],
    advance: Callable[[int], None] = lambda _: None, tolerance: float | None = None,
) -> Iterator[tuple[list[int], Answer]]:  # fmt: skip
    """(indices into `files`, their answer) for batches of images of one size, as they fill.

    For an image that is refused as a whole the answer is that of its clearest part, if there is one. Files that cannot
    be read are put into `errors`, with the reason, and have no answer.
    """
    batches: dict[tuple[object, ...], list[tuple[int, View]]] = defaultdict(list)

    def answered(batch: list[tuple[int, View]]) -> tuple[list[int], Answer]:
        images, lattice = stacked([view for _, view in batch])
        answer = replace(classifier.answer(images, router, lattice, tolerance), structure=None)  # 100 kB an image
        for k in (answer.pattern < 0.5).nonzero().flatten().tolist():
            image = read_image(files[batch[k][0]])  # once more: kept, large images would fill the memory
            if found := clearest_part(classifier, image, router, tolerance):
                answer = _with_row(answer, k, found[1], found[2])
        return [index for index, _ in batch], answer

    for index, file in enumerate(files):
        try:
            view = best_view(read_image(file), classifier.device)
        except ImageError as error:
            errors[str(file)] = str(error)
        else:
            size = (*view.image.shape, view.lattice is None)
            batches[size].append((index, view))
            if len(batches[size]) == BATCH:
                yield answered(batches.pop(size))
        advance(1)
    for batch in batches.values():
        yield answered(batch)


def _with_row(answer: Answer, k: int, other: Answer, j: int) -> Answer:
    """An answer whose image `k` is answered as image `j` of another."""

    def put(mine: Tensor, its: Tensor) -> Tensor:
        return torch.cat([mine[:k], its[j : j + 1], mine[k + 1 :]])

    unsure, its = answer.disagreement, other.disagreement
    return Answer(
        put(answer.log_probabilities, other.log_probabilities),
        put(answer.winners, other.winners),
        put(answer.pattern, other.pattern),
        {name: put(found, other.nodes[name]) for name, found in answer.nodes.items()},
        answer.router,
        None if unsure is None or its is None else put(unsure, its),
    )
