"""What a prediction is: typed results, ready for JSON, for notebooks and for plots."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...hierarchy import GROUP_NAMES, group
from ...models.evidence.crops import Box
from ..reading.pixel_size import PixelSize
from .ladder import GroupScore, Rung
from .symmetry import ImageSource, OperationFound, SymmetryFound

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EQUAL = ("square", "hexagonal")  # lattice systems of which a and b are equally long
NEEDED = {"rectangular": 90.0, "square": 90.0, "hexagonal": 120.0}  # degrees between them


@dataclass(frozen=True)
class Step:
    """One step down the tree: `choice` was taken at `node` with this probability, given that the node was reached.

    `choices` has the probabilities of all choices there.
    """

    node: str
    level: str
    choice: str
    probability: float
    choices: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class LatticeFound:
    """Conventional cell of the group found: `a`, `b` in px, `gamma` in degrees, and its lattice `system`.

    `off_lengths` and `off_angle` are how far the cell is from what the system needs: by how much `b` exceeds `a` in a
    square or hexagonal one, relative to `a`, and how far `gamma` is from 90 or 120 degrees. 0 where anything goes.
    `a_length` and `b_length` are the same in `unit` (pm, A, nm, um, mm, cm or m) where the size of a pixel is known.
    """

    a: float
    b: float
    gamma: float
    system: str
    centred: bool
    off_lengths: float = 0.0
    off_angle: float = 0.0
    a_length: float | None = None
    b_length: float | None = None
    unit: str | None = None

    def with_lengths(self, pixel: PixelSize | None) -> LatticeFound:
        """The same cell with lengths in the pixel's unit; without a pixel size, itself."""
        if pixel is None:
            return self
        return replace(self, a_length=self.a * pixel.value, b_length=self.b * pixel.value, unit=pixel.unit)


@dataclass(frozen=True)
class Prediction:
    """Answer for one image.

    `group` is None when the image is not periodic; `probability` is then that of the likeliest group.
    `groups` are the probabilities of all labels, which sum to one for a periodic image and to
    `periodic_probability` for another. `path` leads from the root to the group.

    `statement` is the answer in words and `candidates` the groups that are still possible: one, unless a minimum
    confidence is given and no group reaches it. Then `group` is None as well, `probability` is the statement's, and
    `path` ends where it ends. `disagreement` between several models is in nats.

    `tolerance` is the largest misfit of an operation that was to count as a symmetry, None where the model judges by
    how exact the image is otherwise. `ladder` says what the answer is at every tolerance. `scores` tells how well each
    of the 17 groups holds, the best first; it is empty unless symmetry was asked for. `flattened` tells what was taken
    from the image before it was read: see `Flattened`.
    `region` is left, top, width and height in px of the part that the answer is for, where the whole image is refused.
    """

    file: str
    group: str | None
    probability: float
    periodic: bool
    periodic_probability: float
    path: tuple[Step, ...]
    groups: dict[str, float]
    lattice: LatticeFound | None
    statement: str = ""
    candidates: tuple[str, ...] = ()
    disagreement: float | None = None
    symmetry: SymmetryFound | None = field(default=None, repr=False)
    tolerance: float | None = None
    ladder: tuple[Rung, ...] = ()
    scores: tuple[GroupScore, ...] = field(default=(), repr=False)
    flattened: dict[str, bool | float] = field(default_factory=dict)
    region: Box | None = None
    pixel_size: PixelSize | None = None
    source: ImageSource | None = field(default=None, repr=False, compare=False)

    @property
    def operations(self) -> tuple[OperationFound, ...]:
        """The group's operations except the identity, and how well each holds; empty unless symmetry was asked for."""
        return self.symmetry.operations if self.symmetry else ()

    def as_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        plain = {k: v for k, v in asdict(self).items() if k != "source"}
        return plain | {"ladder": [rung.as_dict() for rung in self.ladder]}

    def plot(self) -> Figure:
        """The image with cell, lattice and symmetry elements: a matplotlib figure. HierError without a group."""
        from .figure import plotted

        return plotted(self)

    def _repr_html_(self) -> str:
        """What a notebook shows: the answer and the overlay."""
        from .figure import card

        return card(self)


@dataclass(frozen=True)
class Failure:
    """An image that could not be used, and why."""

    file: str
    error: str

    def as_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return asdict(self)


def conventional(basis: NDArray[np.float64], label: str) -> LatticeFound:
    """The conventional cell of the group `label` from the reduced primitive `basis` (2, 2) px."""
    a, b = conventional_vectors(basis, label)
    known = label in GROUP_NAMES
    name, centred = (group(label).lattice_system, group(label).centred) if known else ("oblique", False)
    gamma = float(np.degrees(np.arccos(np.clip(_cosine(a, b), -1, 1))))
    lengths = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    needed = NEEDED.get(name)
    return LatticeFound(
        *lengths, gamma, name, centred,
        off_lengths=abs(lengths[1] / lengths[0] - 1) if name in EQUAL else 0.0,
        off_angle=0.0 if needed is None else abs(gamma - needed),
    )  # fmt: skip


def conventional_vectors(basis: NDArray[np.float64], label: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same cell's vectors `a` and `b` (x right, y down) px."""
    a, b = basis.T
    if label in GROUP_NAMES and group(label).centred:
        # two ways to see a rhombus in a reduced cell: take the one with the right angle
        a, b = min(((a + b, a - b), (a, a + 2 * b)), key=lambda cell: abs(_cosine(*cell)))
        a, b = (a, b) if np.linalg.norm(a) <= np.linalg.norm(b) else (b, a)
    return a, b


def _cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
