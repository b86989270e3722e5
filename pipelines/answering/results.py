"""What a prediction is: typed results, ready for JSON, for notebooks and for plots."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from dataclasses import field as default
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ...models.evidence.crops import Box
from ..reading.left_out import LeftOut
from ..reading.pixel_size import PixelSize
from ..straightening.said import FieldFound, Possible
from .cells import LatticeFound
from .confidence import Confidence, confidence
from .ladder import GroupScore, Rung
from .refused import advice
from .symmetry import ImageSource, LatticeTried, OperationFound, SymmetryFound

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .asked import Asked
    from .refined import RefinedCell
    from .regions import RegionFound
    from .table import GroupRow


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

    `held` is how well the worst operation of the likeliest group correlates, relative to what noise leaves of a
    symmetry: 1 where it holds. Where it does not hold, the answer is undecided too: `group` is None, `statement` says
    why, `candidates` are the groups that do hold, and `path` and `probability` stay those of the likeliest. None where
    no single group is likeliest. `confidence` sums this up in a word.

    `tolerance` is the largest misfit of an operation that was to count as a symmetry, None where the model judges by
    how exact the image is otherwise. `ladder` says what the answer is at every tolerance. `scores` tells how well each
    of the 17 groups holds, the best first; it is empty unless symmetry was asked for. `flattened` tells what was taken
    from the image before it was read: see `Flattened`. `tried` is the best lattice of an image for which no group is
    given, so that its overlay shows what was read; None unless symmetry was asked for.
    `region` is left, top, width and height in px of the part that the answer is for, where the whole image is refused.

    `field` tells how the image was straightened, None where it was taken as it is; lattice and symmetry are then in px
    of the straight image. `possible` are the groups that remain possible where lengths are no evidence, or may be off
    by a distortion: the given one first, and what each would need. It is empty where the metric is known.

    `regions` are the parts of the view in which one lattice repeats, the largest first, each with its own answer; they
    are looked for where that is asked for, and where neither the whole nor a part that is cut out blindly is periodic.

    `left_out` are the info bars, borders, scale bars and masks that were not judged, and `judged` is the rectangle that
    was, None for the whole image. All places stay those on the whole image.
    `asked` is what the user had a say in: the lattice, a group, its origin. `symmetry`, the overlay and what is
    exported are then of the group that was asked for, and `fares` says how it holds; `group` is the answer all the
    same.
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
    held: float | None = None
    symmetry: SymmetryFound | None = default(default=None, repr=False)
    tried: LatticeTried | None = default(default=None, repr=False)
    tolerance: float | None = None
    ladder: tuple[Rung, ...] = ()
    scores: tuple[GroupScore, ...] = default(default=(), repr=False)
    flattened: dict[str, bool | float] = default(default_factory=dict)
    region: Box | None = None
    field: FieldFound | None = None
    possible: tuple[Possible, ...] = ()
    regions: tuple[RegionFound, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    judged: Box | None = None
    pixel_size: PixelSize | None = None
    asked: Asked | None = None
    source: ImageSource | None = default(default=None, repr=False, compare=False)

    @property
    def operations(self) -> tuple[OperationFound, ...]:
        """The group's operations except the identity, and how well each holds; empty unless symmetry was asked for."""
        return self.symmetry.operations if self.symmetry else ()

    @property
    def shown_group(self) -> str | None:
        """The group that is drawn and exported: the one that was asked for, else the answer; None without a pattern."""
        as_asked = None if self.asked is None or not self.periodic else self.asked.group
        return as_asked or self.group

    @property
    def confidence(self) -> Confidence:
        """`sure`, `likely`, `doubtful`, `undecided` or `none`, as `confidence.confidence` has it."""
        return confidence(self)

    @cached_property
    def fares(self) -> GroupRow | None:
        """The table's row of the group that was asked for; None where none was, or the image shows no pattern."""
        from .table import table_of

        wanted = None if self.asked is None else self.asked.group
        if wanted is None or not self.periodic:
            return None
        rows = self.table if "table" in vars(self) else table_of(self)
        return next((row for row in rows if row.group == wanted), None)

    @cached_property
    def table(self) -> tuple[GroupRow, ...]:
        """How well each of the 17 groups holds, and why it is refused; empty for an image without a pattern.

        Made when it is first asked for: the image is analysed again, unless the next result was not asked for yet.
        ``pandas.DataFrame(found.table)`` is the same as a frame. HierError or ImageError when the image is gone.
        """
        from .table import table_of

        return table_of(self)

    @cached_property
    def refined(self) -> RefinedCell | None:
        """The cell by least squares on all pixels, with standard uncertainties; None where there are too few cells.

        Made when it is first asked for, as the `table` is.
        """
        from .refined import refined_cell
        from .table import lattice_of

        return refined_cell(self, lattice_of(self))

    def as_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON; with `table` and `refined` if they were asked for."""
        plain = {k: v for k, v in asdict(replace(self, regions=())).items() if k != "source"}
        plain |= {"confidence": self.confidence, "advice": list(advice(self))}
        plain |= {"ladder": [rung.as_dict() for rung in self.ladder], "regions": [r.as_dict() for r in self.regions]}
        if self.asked is not None:
            plain["asked"] |= {"fares": None if self.fares is None else self.fares.as_dict()}
        if "table" in vars(self):
            plain["table"] = [row.as_dict() for row in self.table]
        if "refined" in vars(self):
            plain["refined"] = None if self.refined is None else self.refined.as_dict()
        return plain

    def plot(self, width: float | None = None, caption: bool = True) -> Figure:
        """The image with cell, lattice and symmetry elements: a matplotlib figure. HierError where there are none.

        `width` in mm; without `caption` the image and what lies on it alone.
        """
        from ..drawing.overlay import Style
        from .figure import plotted

        return plotted(self, style=Style(width, caption=caption))

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
