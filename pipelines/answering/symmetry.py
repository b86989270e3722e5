"""What was found on one image: its evidence, the same as plain data, and how to get back to the image."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...hierarchy import HierError
from ...models.evidence.crops import Box, View, best_view, cut
from ...models.evidence.flatten import flattened
from ...models.evidence.given import GivenLattice
from ...models.evidence.lattice import Lattice, find_lattice, reduce_basis
from ...models.evidence.structure import Structure, structure_factors
from ...models.placing.operations import Placed, Refused, place
from ...models.residuals.scores import FORGIVEN
from ...models.straightening.fields import Field
from ...models.straightening.resample import Rectified, rectified
from ..drawing.symbols import Array, Frame
from ..reading.images import ImageLike, read
from ..reading.picture import Reading

Point = tuple[float, float]


@dataclass(frozen=True)
class Analysis:
    """What was found on one image (3, H, W): the view that was analysed, and its lattice and structure factors.

    `lattice` and `structure` are batches of one, on the CPU. Where the image was straightened, it is `bent` from an
    `original` (3, H, W). Where only a window was read, `whole` is all of it.
    """

    image: Tensor
    view: View
    lattice: Lattice
    structure: Structure
    bent: Rectified | None = None
    original: Tensor | None = None
    whole: Tensor | None = None

    @property
    def middle(self) -> Array:
        """The middle of what was analysed (2,), in px of the image: the origin of the structure factors."""
        return _seen(self)[1]

    @classmethod
    def of(
        cls, image: Tensor, part: Box | None = None, basis: Array | None = None, given: GivenLattice | None = None
    ) -> Analysis:
        """The analysis of an image, or a part of it, without a prediction; of a lattice `basis` (2, 2) px if known.

        It is read as for the lattice that a user has `given`, if any.
        """
        seen = image if part is None else cut(image, part)
        view = replace(best_view(seen) if given is None else given.view(seen), part=part)
        pixels, lattice = view.pixels[None], view.lattice
        if lattice is None:
            pixels, lattice, _ = flattened(pixels, find_lattice)
        if basis is not None:
            lattice = replace(lattice, basis=reduce_basis(torch.from_numpy(basis / view.scale)[None].float()))
        return cls(image, view, lattice, structure_factors(pixels, lattice.basis))


@dataclass(frozen=True)
class OperationFound:
    """One operation of the group, in its conventional cell, and how well it holds.

    `xyz` as in International Tables. `score` in [0, 1] is the correlation of the averaged cell with its image; the
    noise in the cell reduces that of a perfect symmetry to ``1 - noise``.
    """

    xyz: str
    kind: str
    score: float
    noise: float


@dataclass(frozen=True)
class SymmetryFound:
    """Where the group lies on the image, in px of the image: x right, y down, (0, 0) the middle of its first pixel.

    `a` and `b` span the conventional cell and `origin` is its origin, both as in International Tables (in pm, pg and
    pmg `a` may be the longer one). `view` is what was analysed: left, top, width and height; in a large image, or where
    only a part shows a pattern, it is a part.
    """

    group: str
    origin: Point
    a: Point
    b: Point
    view: tuple[int, int, int, int]
    operations: tuple[OperationFound, ...]
    supergroups: tuple[Refused, ...]

    @property
    def frame(self) -> Frame:
        """The cell in px of the view."""
        return _frame(self)


@dataclass(frozen=True)
class LatticeTried:
    """The best lattice of an image for which no group was found: refused, or with several groups still possible.

    Its reduced cell, `a` and `b`, lies with `origin` in the middle of the `view`, in px as of `SymmetryFound`. `level`
    is the mean correlation of the image with itself moved by its vectors: 1 for a perfect repeat, about 0 for none.
    `best` is left, top, width and height of the part of a refused image that repeats best on a lattice of its own;
    None where no part does better than the whole.
    """

    origin: Point
    a: Point
    b: Point
    level: float
    view: tuple[int, int, int, int]
    best: Box | None = None

    @property
    def frame(self) -> Frame:
        """The cell in px of the view."""
        return _frame(self)


def lattice_tried(found: Analysis) -> LatticeTried | None:
    """The lattice of an image without a group; None for one flat colour, which has none."""
    level = float(found.lattice.level[0])
    if level == 0:
        return None
    box, middle = _seen(found)
    a, b = found.view.scale * found.lattice.basis[0].double().numpy().T
    return LatticeTried(_point(middle), _point(a), _point(b), level, box)


def with_best(tried: LatticeTried, view: View, best: Box | None) -> LatticeTried:
    """`tried` of a refused image with where that repeats best: `best`, in px of the `view`."""
    if best is None:
        return tried
    left, top, width, height = (round(view.scale * x) for x in best)
    return replace(tried, best=(tried.view[0] + left, tried.view[1] + top, width, height))


def find_symmetry(found: Analysis, label: str, origin: Point | None = None) -> SymmetryFound:
    """Where the group `label` lies on an image, and how well it holds; its origin is the one nearest to `origin` px."""
    box, middle = _seen(found)
    near = None if origin is None else (np.array(origin) - middle) / found.view.scale
    placed = place(found.structure, found.lattice.basis[0].double().numpy(), label, near=near)
    return as_found(placed, found.view.scale, middle, box)


def _seen(found: Analysis) -> tuple[tuple[int, int, int, int], Array]:
    """What of the image was analysed, left, top, width and height, and its middle, in px of the image."""
    left, top, *size = found.view.part or (0, 0, found.image.shape[-1], found.image.shape[-2])
    x, y, width, height = _box(found.view, (size[0], size[1]))
    box = left + x, top + y, width, height
    return box, np.array([box[0] + (box[2] - 1) / 2, box[1] + (box[3] - 1) / 2])


def _frame(found: SymmetryFound | LatticeTried) -> Frame:
    left, top, *_ = found.view
    return Frame(np.array([found.a, found.b]).T, np.array(found.origin) - (left, top))


def as_found(placed: Placed, scale: float, middle: Array, box: tuple[int, int, int, int]) -> SymmetryFound:
    """`placed` in px of the image, of which `middle` is the middle of what was read, at `scale` px each."""
    a, b = (scale * placed.basis).T
    origin = middle + scale * placed.origin
    return SymmetryFound(
        placed.group, _point(origin), _point(a), _point(b), box,
        tuple(OperationFound(h.operation.xyz, h.kind, h.score, h.noise) for h in placed.holdings),
        placed.refused,
    )  # fmt: skip


def _box(view: View, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, width and height of a view in the image or part of `size` that it is about the middle of."""
    _, h, w = view.image.shape
    # a view of the whole falls short of it by what its px are rounded
    width, height = (
        whole if whole - n * view.scale <= view.scale else round(n * view.scale)
        for whole, n in zip(size, (w, h), strict=True)
    )
    return (size[0] - width) // 2, (size[1] - height) // 2, width, height


def _point(v: Array) -> Point:
    return float(v[0]), float(v[1])


class ImageSource:
    """Where an image comes from. An image in memory is only kept alive with `keep`."""

    def __init__(self, image: ImageLike | None, name: str, reading: Reading, keep: bool = False) -> None:
        self.name, self.reading = name, reading
        stays = keep or isinstance(image, (str, Path)) or not type(image).__weakrefoffset__
        self._kept = image if stays else None
        self._seen: weakref.ref[Any] | None = None if stays else weakref.ref(image)
        self._at_hand: Analysis | None = None
        self.part: Box | None = None
        """The part of the image that was answered for, if not the whole."""
        self.straight: tuple[Field, Tensor] | None = None
        """What straightened the image, if anything did: the field, and the linear map after it."""
        self.strain = FORGIVEN
        """The largest strain that a group may put on the lattice."""
        self.window: Box | None = None
        """What of the image is read, if not the whole."""
        self.given: GivenLattice | None = None
        """The lattice that the user has given, if any."""

    def within(self, window: Box | None = None, part: Box | None = None) -> ImageSource:
        """The same image, read in a window only, or answered for a part of it."""
        made = ImageSource(None, self.name, self.reading)
        made._kept, made._seen, made.strain = self._kept, self._seen, self.strain
        made.window, made.part = window, part
        return made

    @contextmanager
    def at_hand(self, found: Analysis) -> Iterator[None]:
        """Within the block nothing is read or analysed again: overlay and report share the prediction's pass."""
        before, self._at_hand = self._at_hand, found
        try:
            yield
        finally:
            self._at_hand = before

    def read(self) -> Tensor:
        """The image (3, H, W) as it was answered for, straight; read again unless it is in memory.

        HierError when it is gone; ImageError when its file is.
        """
        return self._at_hand.image if self._at_hand is not None else self._straightened(self._read())[0]

    def whole(self) -> Tensor:
        """The whole image (3, H, W) as it is. Raises as `read` does."""
        here = self._at_hand
        if here is not None:
            seen = here.image if here.original is None else here.original
            known = seen if self.window is None else here.whole
            if known is not None:
                return known
        return self.within()._read()

    def _straightened(self, image: Tensor) -> tuple[Tensor, Rectified | None]:
        bent = None if self.straight is None else rectified(image, *self.straight)
        return (image, None) if bent is None else (bent.image, bent)

    def _read(self) -> Tensor:
        image = self._seen() if self._seen is not None else self._kept
        if image is None:
            raise HierError(f"{self.name} is no longer in memory: predict(..., keep=True) keeps images for plots")
        whole = read(image, self.reading).image
        return whole if self.window is None else cut(whole, self.window)

    def analysis(self, basis: Array | None = None) -> Analysis:
        """What was found on the image, or is found again, on the lattice `basis` (2, 2) px if given.

        Raises as `read` does.
        """
        if self._at_hand is not None:
            return self._at_hand
        original = self._read()
        image, bent = self._straightened(original)
        return replace(Analysis.of(image, self.part, basis, self.given), bent=bent, original=original)

    def bent(self) -> tuple[Tensor, Rectified] | None:
        """The image as it is, and how it was straightened; None if it was not. Raises as `read` does."""
        if self.straight is None:
            return None
        here = self._at_hand
        if here is not None and here.bent is not None and here.original is not None:
            return here.original, here.bent
        original = self._read()
        bent = rectified(original, *self.straight)
        return None if bent is None else (original, bent)

    def __deepcopy__(self, memo: dict[int, Any]) -> ImageSource:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Files are read again in another process; an image in memory travels only where it is kept."""
        found = self.part, self.straight, self.strain, self.window, self.given
        return _restored, (self._kept, self.name, self.reading, *found)


def _restored(
    image: ImageLike | None, name: str, reading: Reading, part: Box | None, straight: tuple[Field, Tensor] | None,
    strain: float, window: Box | None, given: GivenLattice | None = None,
) -> ImageSource:  # fmt: skip
    made = ImageSource(image, name, reading, keep=True)
    made.part, made.straight, made.strain, made.window, made.given = part, straight, strain, window, given
    return made
