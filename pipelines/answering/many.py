"""Many images in one go: those that have a row are skipped, new ones are answered and written at once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..reading.picture import Reading
from .results import Failure, Prediction
from .rows import Rows, Stamp, stamp


class Answering(Protocol):
    """A `Predictor`, or many of them on a cluster."""

    def predict_each(
        self, images: Iterable[str], advance: Callable[[int], None], reading: Reading, symmetry: bool
    ) -> Iterator[Prediction | Failure]:
        """One result for each image, in order."""


@dataclass
class Tally:
    """How many images were answered, could not be used, and had their rows before."""

    answered: int = 0
    failed: int = 0
    kept: int = 0


def predict_into(
    tables: Sequence[Rows],
    predictor: Answering,
    names: Iterable[str],
    reading: Reading,
    tally: Tally,
    advance: Callable[[int], None] = lambda _: None,
    symmetry: bool = False,
) -> Iterator[Prediction | Failure]:
    """Results of the images that lack a row in any of `tables`, each written there before it is given out.

    Without tables, of all images. Holds as many images as `Predictor.predict_each`.
    """
    stamps: dict[str, Stamp] = {}
    seen: set[str] = set()

    def new() -> Iterator[str]:
        for name in names:
            if tables:
                now = stamp(name)
                if name in seen or all(table.has(name, now) for table in tables):
                    tally.kept += name not in seen
                    seen.add(name)
                    advance(1)
                    continue
                seen.add(name)
                stamps[name] = now
            yield name

    for result in predictor.predict_each(new(), advance, reading, symmetry):
        if tables:
            now = stamps.pop(result.file)
            for table in tables:
                if not table.has(result.file, now):
                    table.add(result, now)
        if isinstance(result, Failure):
            tally.failed += 1
        else:
            tally.answered += 1
        yield result


def run_of(cards: Sequence[Path], settings: Sequence[object]) -> str:
    """Name of a run: equal for models equal to the last weight and equal settings."""
    digest = hashlib.sha256()
    for card in cards:
        for file in (card, card.with_suffix(".safetensors")):
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    digest.update(repr(list(settings)).encode())
    return digest.hexdigest()[:12]
