"""What the page shows of an image: the answer first, then the ladder, the table, the path and the overlay."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock
from typing import Any

from PIL import Image
from torch import Tensor

from ...hierarchy import HierError
from ...models.classifier import Classifier
from ..answering.asked import asked_in_words
from ..answering.figure import cell_in_words
from ..answering.ladder import in_words
from ..answering.predict import Predictor
from ..answering.results import Failure, Prediction
from ..answering.words import percent
from ..reporting.report import ladder_bars, ladder_ticks, steps_told, table_cells
from .examples import example_png
from .say import Say
from .shapes import shapes
from .visitors import Kept

SHOWN = 1600  # px: longer side of the picture that the page shows


class Answering:
    """Answers of one `classifier`, one at a time under its `lock`: what is made at first use, and drawing, is not for
    several threads, and requests share the processor's cores as it is.
    """

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier
        self.lock = Lock()

    def example(self, number: int) -> bytes:
        """The file of an example."""
        with self.lock:
            return example_png(number)

    def warm(self) -> None:
        """Answer once, so that the first visitor need not wait for what is made once."""
        with self.lock:
            image = Image.open(io.BytesIO(example_png(0)))
            for found in Predictor(self.classifier).predict_each([image], symmetry=True):
                if not isinstance(found, Failure):
                    answer_told(found)

    @contextmanager
    def predicted(self, kept: Kept, say: Say) -> Iterator[Prediction]:
        """The prediction for an image, while that is at hand. Raises HierError."""
        with self.lock:
            predictor = Predictor(self.classifier, tolerance=say.tolerance, asked=say.asked())
            reading = replace(say.reading, crop=say.box(kept.width, kept.height))
            for found in predictor.predict_each([kept.path], reading=reading, symmetry=True, keep=True):
                if isinstance(found, Failure):
                    raise HierError(found.error)
                yield replace(found, file=kept.name)

    def answer(self, kept: Kept, say: Say) -> dict[str, Any]:
        """The answer as plain data, ready for JSON. Raises HierError."""
        start = time.perf_counter()
        with self.predicted(kept, say) as found:
            told = answer_told(found)
        return told | {"seconds": round(time.perf_counter() - start, 3)}


def answer_told(found: Prediction) -> dict[str, Any]:
    """A prediction as plain data. Its image must be at hand."""
    rows = list(table_cells(found)) if found.periodic else []
    asked = None if found.asked is None else found.asked.group
    return {
        "group": found.group,
        "headline": found.group or found.statement,
        "probability": percent(found.probability if found.periodic else 1 - found.periodic_probability),
        "periodic": found.periodic,
        "confidence": found.confidence,
        "asked": asked,
        "others": [f"{name} {percent(p)}" for name, p in _others(found)] if found.periodic else [],
        "notes": list(_notes(found)),
        "cell": cell_in_words(found) if found.symmetry or found.tried else "",
        "refined": "" if found.refined is None else str(found.refined),
        "path": list(steps_told(found)),
        "ladder": list(ladder_bars(found)),
        "ticks": list(ladder_ticks()),
        "ladder_words": in_words(found.ladder),
        "table": rows,
        "overlay": shapes(found),
        "region": found.judged,
        "straightened": found.field is not None and found.field.kind != "none",
        "pixel_size": found.pixel_size is not None,
    }


def picture_of(image: Tensor) -> bytes:
    """An image (3, H, W) in [0, 1] as a file that browsers show, its longer side at most `SHOWN` px."""
    shown = Image.fromarray((image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy())
    shown.thumbnail((SHOWN, SHOWN), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    shown.save(file, "png", compress_level=3)
    return file.getvalue()


def _others(found: Prediction) -> list[tuple[str, float]]:
    """The likeliest three of the other groups that are likely at all."""
    order = sorted(((name, p) for name, p in found.groups.items() if name != found.group), key=lambda one: -one[1])
    return [(name, p) for name, p in order[:3] if p >= 0.001]


def _notes(found: Prediction) -> Iterator[str]:
    yield from asked_in_words(found)
    yield from (f"Left out: {one}" for one in found.left_out)
    if found.region is not None and not found.regions:
        left, top, width, height = found.region
        yield f"The whole is not periodic: read {width} × {height} px from ({left}, {top})."
    if found.field is not None and found.field.kind != "none":
        yield f"Straightened: {found.field}"
    if found.tried is not None and found.tried.best is not None and not found.periodic:
        left, top, width, height = found.tried.best
        yield f"It repeats best in {width} × {height} px from ({left}, {top}): draw a region there."
    if len(found.possible) > 1:
        yield "Possible: " + "; ".join(str(one) for one in found.possible)
    for k, region in enumerate(found.regions, 1):
        answer = region.answer
        name = answer.group or answer.statement
        yield f"Region {k}: {name} {percent(answer.probability)}, {percent(region.share)} of the view"
