"""What a prediction is: typed results, ready for JSON, for notebooks and for plots."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from dataclasses import field as default
from typing import TYPE_CHECKING, Any

from ...models.evidence.crops import Box
from ..reading.pixel_size import PixelSize
from .cells import LatticeFound
from .ladder import GroupScore, Rung
from .rectify import FieldFound, Possible
from .symmetry import ImageSource, LatticeTried, OperationFound, SymmetryFound

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Step:
    """One step down the tree: `choice` was taken at `node` with this probability, given that the node was reached.

    `choices` has the probabilities of all choices there.
    """

    node: str
    level: str
    choice: str
    probability: float
    choices: dict[str, float] = default(default_factory=dict)


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
    from the image before it was read: see `Flattened`. `tried` is the best lattice of an image for which no group is
    given, so that its overlay shows what was read; None unless symmetry was asked for.
    `region` is left, top, width and height in px of the part that the answer is for, where the whole image is refused.

    `field` tells how the image was straightened, None where it was taken as it is; lattice and symmetry are then in px
    of the straight image. `possible` are the groups that remain possible where lengths are no evidence, or may be off
    by a distortion: the given one first, and what each would need. It is empty where the metric is known.
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
    symmetry: SymmetryFound | None = default(default=None, repr=False)
    tried: LatticeTried | None = default(default=None, repr=False)
    tolerance: float | None = None
    ladder: tuple[Rung, ...] = ()
    scores: tuple[GroupScore, ...] = default(default=(), repr=False)
    flattened: dict[str, bool | float] = default(default_factory=dict)
    region: Box | None = None
    field: FieldFound | None = None
    possible: tuple[Possible, ...] = ()
    pixel_size: PixelSize | None = None
    source: ImageSource | None = default(default=None, repr=False, compare=False)

    @property
    def operations(self) -> tuple[OperationFound, ...]:
        """The group's operations except the identity, and how well each holds; empty unless symmetry was asked for."""
        return self.symmetry.operations if self.symmetry else ()

    def as_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        plain = {k: v for k, v in asdict(self).items() if k != "source"}
        return plain | {"ladder": [rung.as_dict() for rung in self.ladder]}

    def plot(self) -> Figure:
        """The image with cell, lattice and symmetry elements: a matplotlib figure. HierError where there are none."""
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
