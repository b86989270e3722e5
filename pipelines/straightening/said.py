"""What is said of a straightened image: the field that made it straight, and the groups that remain possible."""

from __future__ import annotations

from dataclasses import dataclass

from ...models.straightening.families import PERSPECTIVE
from ...models.straightening.fields import FOCAL
from ...models.straightening.resample import Rectified


@dataclass(frozen=True)
class Possible:
    """A `group` that remains possible, with the `probability` it has on a `lattice` of that kind.

    Lengths are stretched by the factor `stretch` along `direction` (degrees, counter-clockwise from the horizontal) for
    it: 1 as it is. `strain` is the same as a change of lengths at constant area.
    """

    group: str
    probability: float
    lattice: str
    stretch: float
    direction: float
    strain: float

    def __str__(self) -> str:
        """In words.

        >>> str(Possible("p4m", 0.9, "square", 1.06, 31.2, 0.03))
        'p4m if stretched by 6.0 % along 31 degrees'
        """
        if self.strain == 0:
            return f"{self.group} as it is"
        return f"{self.group} if stretched by {100 * (self.stretch - 1):.1f} % along {self.direction:.0f} degrees"


@dataclass(frozen=True)
class FieldFound:
    """What straightened an image: `kind`, and the `error` that is left, px, with its standard error `error_se`.

    The error is that of the displacement in windows that the fit did not see. `agreement` is the correlation of the
    image's cells with each other, `strain` how much the field stretches in the mean. `tilt` and `direction`, degrees,
    are a perspective's at the focal length `focal` (relative to the longer side). `parameters` belong to points in
    units of `unit` px from the middle, see `models.straightening.families`; `linear` is applied after them.
    """

    kind: str
    error: float
    error_se: float
    agreement: float
    strain: float
    tilt: float | None
    direction: float | None
    focal: float | None
    parameters: tuple[float, ...]
    unit: float
    linear: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, found: Rectified, given: float | None) -> FieldFound:
        """The field of a straightened image, whose focal length is `given` or not known."""
        f, focal = found.field, FOCAL if given is None else given
        tilted = f.family is PERSPECTIVE
        tilt, direction = f.tilt(focal) if tilted else (None, None)
        return cls(
            f.kind, f.error, f.error_se, f.agreement, f.strain(), tilt, direction, focal if tilted else None,
            tuple(f.parameters.tolist()), f.unit, tuple(tuple(row) for row in found.linear.tolist()),
        )  # fmt: skip

    def __str__(self) -> str:
        """In words."""
        kind = "straight" if self.kind == "none" else self.kind
        tilt = "" if self.tilt is None else f", tilt {self.tilt:.1f} degrees towards {self.direction:.0f}"
        return f"{kind}{tilt}, error {self.error:.2f} +- {self.error_se:.2f} px"
