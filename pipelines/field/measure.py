"""Maps of large fields: the group, the lattice and the confidence at every position of a micrograph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...arrays import in_threads
from ...hierarchy import HierError
from ...hierarchy.files import output
from ...models.classifier import Classifier
from ...models.straightening.fields import Field
from ..marks import mark_archive
from ..reading.images import ImageError, as_tensor
from ..reading.picture import Picture
from .lattice import same_lattice
from .places import Place, measured_places, nearest_measured, starts
from .sizes import LARGEST, check_window

BATCH = 16  # windows at a time: they stay in the processor's cache
CELLS = 9  # least cells in a window for an answer to be trusted
PERIODIC = 0.5  # of the gate, as in predictions

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class FieldMap:
    """What was found at the R x C windows of a field.

    `y` (R,) and `x` (C,) are the windows' middles, px. At each: `log_probabilities` (R, C, L) over `labels`, `pattern`
    (R, C) the probability of being periodic at all, `basis` (R, C, 2, 2) the reduced primitive lattice in px (columns,
    y down), `level` (R, C) how well it repeats; `measured` (R, C) is False where all this is the nearest measured
    window's. `unreadable` counts windows with values that are NaN or infinite.

    Where the windows were cut straight, `basis` is in px of the plane that `field` makes of the picture, and `slopes`
    (R, C, 2, 2) are steps of the picture for steps there.
    """

    labels: tuple[str, ...]
    window: int
    y: NDArray[np.float64]
    x: NDArray[np.float64]
    log_probabilities: Floats
    pattern: Floats
    basis: Floats
    level: Floats
    measured: NDArray[np.bool_]
    unreadable: int
    field: Field | None = None
    slopes: NDArray[np.float64] | None = None

    @property
    def seen(self) -> NDArray[np.float64]:
        """The bases in px of the picture: (R, C, 2, 2)."""
        basis = self.basis.astype(np.float64)
        return basis if self.slopes is None else self.slopes @ basis

    @property
    def group(self) -> NDArray[np.int64]:
        """Index of the likeliest label, -1 where nothing is periodic: (R, C)."""
        return np.where(self.pattern >= PERIODIC, self.log_probabilities.argmax(-1), -1)


class Cut(Protocol):
    """Cuts straight windows out of a bent picture: see `straight`."""

    @property
    def field(self) -> Field:
        """What makes the picture straight."""

    def __call__(self, left: int, top: int, size: int) -> NDArray[Any]:
        """The window about the middle of the one that begins at `left` and `top`."""

    def slopes(self, y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `FieldMap`."""


def map_field(
    classifier: Classifier,
    picture: Picture,
    window: int = 128,
    stride: int = 32,
    exact: bool = False,
    advance: Callable[[int], None] = lambda _: None,
    tolerance: float | None = None,
    straight: Cut | None = None,
) -> FieldMap:
    """Slide a window over a picture, which is read a window at a time.

    Windows lie `window` px apart at first; between positions that differ in group or lattice they come closer, down to
    `stride`. With `exact` every position is measured, each with the answer that `predict` gives for the window alone.
    `straight` cuts them out of a bent picture. Raises HierError for a window that does not fit.
    """
    height, width = picture.array.shape[:2]
    check_window(window, stride)
    if window > min(height, width):
        raise HierError(f"--window {window} is larger than the image of {width} x {height} px: use `hier predict`")
    top, left = starts(height, window, stride), starts(width, window, stride)
    found = _Answers(len(top), len(left), len(classifier.labels), tolerance)

    def upright(left: int, top: int, size: int) -> NDArray[Any]:
        pixels: NDArray[Any] = picture.array[top : top + size, left : left + size]
        return pixels

    cut = upright if straight is None else straight

    def measure(places: Sequence[Place]) -> None:
        parts = [places[k : k + BATCH] for k in range(0, len(places), BATCH)]

        def answer(part: Sequence[Place]) -> None:
            found.put(part, classifier, [cut(int(left[j]), int(top[i]), window) for i, j in part])
            advance(len(part))

        in_threads(answer, parts, classifier.device)

    step = 1
    while not exact and 2 * step * stride <= window:
        step *= 2
    done = measured_places(len(top), len(left), step, measure, found.agree)
    source = tuple(np.moveaxis(nearest_measured(done), -1, 0))
    y, x = ((first + (window - 1) / 2).astype(np.float64) for first in (top, left))
    return FieldMap(
        classifier.labels, window, y, x, found.log_probabilities[source],
        found.pattern[source], found.basis[source], found.level[source], done, int(found.unreadable.sum()),
        *(() if straight is None else (straight.field, straight.slopes(y, x))),
    )  # fmt: skip


class _Answers:
    """Answers of windows as they come in; every position is written by one thread, once."""

    def __init__(self, rows: int, columns: int, labels: int, tolerance: float | None = None) -> None:
        self.tolerance = tolerance
        self.log_probabilities = np.full((rows, columns, labels), -np.log(labels), np.float32)
        self.pattern = np.zeros((rows, columns), np.float32)
        self.basis = np.full((rows, columns, 2, 2), np.nan, np.float32)
        self.level = np.zeros((rows, columns), np.float32)
        self.unreadable = np.zeros((rows, columns), bool)

    def put(self, places: Sequence[Place], classifier: Classifier, windows: Sequence[NDArray[Any]]) -> None:
        """Answer for `windows` and keep it at `places`. One that cannot be used is not periodic."""
        images: list[Tensor] = []
        used: list[Place] = []
        for place, pixels in zip(places, windows, strict=True):
            if not np.isfinite(pixels).all():
                self.unreadable[place] = True
                continue
            try:
                images.append(_one_channel(as_tensor(pixels), pixels))
            except ImageError:  # of one value everywhere
                continue
            used.append(place)
        if not images:
            return
        answer = classifier.answer(torch.stack(images), tolerance=self.tolerance)
        at = tuple(np.transpose(used))
        self.log_probabilities[at] = answer.log_probabilities.float().cpu().numpy()
        self.pattern[at] = answer.pattern.float().cpu().numpy()
        if answer.lattice is not None:
            self.basis[at] = answer.lattice.basis.float().cpu().numpy()
            self.level[at] = answer.lattice.level.float().cpu().numpy()

    def agree(self, places: Sequence[Place]) -> bool:
        """Whether all positions have one group and one lattice, or nothing periodic."""
        at = tuple(np.transpose(places))
        groups = np.where(self.pattern[at] >= PERIODIC, self.log_probabilities[at].argmax(-1), -1)
        if (groups != groups[0]).any():
            return False
        bases = self.basis[at]
        return bool(groups[0] < 0 or same_lattice(bases[:1], bases).all())


def _one_channel(image: Tensor, pixels: NDArray[Any]) -> Tensor:
    """Grey images lose the copies of their one channel, which weigh nothing in an answer but cost time."""
    return image[:1] if pixels.ndim == 2 or pixels.shape[-1] <= 2 else image


def suits(found: FieldMap, cell_areas: NDArray[np.float64]) -> str | None:
    """What to do about windows too small for the cells found (`cell_areas` (N,) px^2); None when they are not."""
    window = found.window
    if cell_areas.size:
        cells = window**2 / float(np.median(cell_areas))
        if cells < CELLS:
            enough = int(np.ceil(np.sqrt(CELLS * float(np.median(cell_areas))) / 16) * 16)
            return f"only {cells:.1f} cells fit into a window of {window} px; {CELLS} are needed: try --window {enough}"
    elif not (found.group >= 0).any():
        return f"nothing periodic in windows of {window} px; for larger cells try --window {min(2 * window, LARGEST)}"
    return None


def save_arrays(path: Path, arrays: dict[str, Any]) -> None:
    """Write ``.npz``; HierError when that fails."""
    with output(path) as file:
        np.savez_compressed(file, **arrays)
        mark_archive(file)
