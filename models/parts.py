"""Where the whole of an image shows no pattern: the part of it that shows one most surely."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from .classifier import Answer, Classifier
from .evidence.crops import View, best_view, cut, parts, stacked
from .routing.router import Router

SURE = 0.9  # least probability that a part is periodic


def clearest_part(
    classifier: Classifier, image: Tensor, router: Router = "soft", tolerance: float | None = None, ladder: bool = False
) -> tuple[View, Answer, int] | None:
    """The part's view, the answer to a batch of parts, and which of them it is; None if no part shows a pattern surely.

    `image` (C, H, W) in [0, 1]; `router`, `tolerance` and `ladder` as in `Classifier.answer`. Parts of one size are
    answered together.
    """
    sizes: dict[tuple[object, ...], list[View]] = {}
    for box in parts(image):
        view = replace(best_view(cut(image, box), classifier.device), part=box)
        sizes.setdefault((*view.image.shape, view.lattice is None), []).append(view)
    best: tuple[View, Answer, int] | None = None
    highest = 0.0
    for some in sizes.values():
        images, lattice = stacked(some)
        answer = classifier.answer(images, router, lattice, tolerance, ladder)
        for k, pattern in enumerate(answer.pattern.tolist()):
            if pattern >= SURE and pattern > highest:
                best, highest = (some[k], answer, k), pattern
    return best
