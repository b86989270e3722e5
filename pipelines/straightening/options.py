"""What users may ask for: which distortions are taken out, and what is known of lengths."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...hierarchy import HierError, UnknownNameError
from ...models.evidence.representation import STRAIN
from ...models.straightening.families import PERSPECTIVE, STRAIGHT
from ...models.straightening.fields import Field
from .names import METRICS as METRICS
from .names import MODES as MODES
from .names import Metric as Metric
from .names import Mode as Mode

FOCAL_UNKNOWN = 0.12  # strain that a perspective may leave whose focal length is not known
LEAST, MOST = 0.02, 0.15  # strain that another field leaves: what it stretches itself, within these
ANY = 0.5  # strain up to which a lattice may be stretched if the metric is unknown


def metric_change(strain: float | None) -> float:
    """The change of the metric, relative to the cell's area, by which a classifier lets a group be off at a `strain`.

    At most `STRAIN`, which it is for None. HierError for a strain that is not above 0, or above `ANY`.
    """
    if strain is not None and not 0 < strain <= ANY:
        raise HierError(f"strain = {strain}: give a number above 0, and at most {ANY}: 0.1 for 10 %")
    return STRAIN if strain is None else min(STRAIN, 4 * strain)


def taken_out(strain: float | None) -> float | None:
    """The strain that is taken out of images, None for what a classifier allows for by itself."""
    return None if strain is None or 4 * strain <= STRAIN else strain


@dataclass(frozen=True)
class Rectification:
    """How distortions are dealt with: `mode` and `metric` as of `--rectify` and `--metric`, `strain` as of `--strain`.

    `focal` is the focal length relative to the image's longer side. UnknownNameError or HierError for other values.
    """

    mode: Mode = "auto"
    metric: Metric = "auto"
    strain: float | None = None
    focal: float | None = None

    def __post_init__(self) -> None:
        for what, value, known in (("rectification", self.mode, MODES), ("metric", self.metric, METRICS)):
            if value not in known:
                raise UnknownNameError(what, value, known)
        if self.focal is not None and not 0 < self.focal < math.inf:
            raise HierError(f"focal = {self.focal}: give the focal length relative to the image's longer side, above 0")

    def allowed(self, field: Field | None) -> float:
        """The strain that may be taken out of an image that `field` straightens."""
        if self.strain is not None:
            return self.strain
        if self.metric == "unknown":
            return ANY
        if self.metric == "known" or field is None or field.family is STRAIGHT:
            return 0.0
        if field.family is PERSPECTIVE:
            return 0.0 if self.focal is not None else FOCAL_UNKNOWN
        return min(MOST, max(LEAST, field.strain()))


AS_IT_IS, WHERE_IT_HELPS = Rectification("none"), Rectification()
