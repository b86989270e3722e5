"""Answers to image files of many sizes, in batches of one size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ...models.classifier import Answer, Classifier
from ...models.evidence.crops import View, best_view, stacked
from ...models.routing.router import Router
from ..reading.images import ImageError, read_image

BATCH = 16


def answer_files(
    classifier: Classifier, files: Sequence[Path], router: Router, errors: dict[str, str],
    advance: Callable[[int], None] = lambda _: None, tolerance: float | None = None,
) -> Iterator[tuple[list[int], Answer]]:  # fmt: skip
    """(indices into `files`, their answer) for batches of images of one size, as they fill.

    Files that cannot be read are put into `errors`, with the reason, and have no answer.
    """
    batches: dict[tuple[int, ...], list[tuple[int, View]]] = defaultdict(list)

    def answered(batch: list[tuple[int, View]]) -> tuple[list[int], Answer]:
        images, lattice = stacked([view for _, view in batch])
        answer = replace(classifier.answer(images, router, lattice, tolerance), structure=None)  # 100 kB an image
        return [index for index, _ in batch], answer

    for index, file in enumerate(files):
        try:
            view = best_view(read_image(file), classifier.device)
        except ImageError as error:
            errors[str(file)] = str(error)
        else:
            size = tuple(view.image.shape)
            batches[size].append((index, view))
            if len(batches[size]) == BATCH:
                yield answered(batches.pop(size))
        advance(1)
    for batch in batches.values():
        yield answered(batch)
