"""How far an answer is to be trusted, in a word that panel, page, overlay, report and JSON share, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ...hierarchy import GROUP_NAMES
from ...models.evidence.groups import MOST, GroupScores, all_misfits
from ...models.evidence.maps import noise_share
from ...models.evidence.structure import Structure
from .words import percent

if TYPE_CHECKING:
    from .results import Prediction

Confidence = Literal["sure", "likely", "doubtful", "undecided", "none"]
SURE, LIKELY = 0.95, 0.6  # probabilities from which an answer is sure, and likely
HOLDS = 0.8  # least `Held.share` of a sure answer
# Share below which an answer is withdrawn. On 1,783 generated patterns of all sources, rough (workmanship 3 and 5),
# noisy (grain 3 and 5), displaced (thermal 4) and clean, right answers had 0.6 or more, two of 1,742 less than 0.7.
FAILS = 0.5


@dataclass(frozen=True)
class Held:
    """How well each of the 17 groups holds on an image: `misfits` as of `all_misfits`.

    Noise alone takes the correlation of a perfect symmetry to ``1 - noise``.
    """

    misfits: tuple[float, ...]
    noise: float

    @classmethod
    def of(cls, groups: GroupScores, index: int, structure: Structure) -> Held:
        """From the scores of image `index`, and its own structure factors, a batch of one."""
        misfits = all_misfits(groups)[index].double().cpu().tolist()
        return cls(tuple(misfits), float(noise_share(structure)[0]))

    def share(self, label: str) -> float | None:
        """Correlation of the worst operation of the group `label`, relative to what noise leaves, in [0, 1].

        0 where the lattice does not have the group's metric; None for a label that is no group.
        """
        if label not in GROUP_NAMES:
            return None
        return min(1.0, max(0.0, (1 - self._misfit(label)) / max(1 - self.noise, 1e-6)))

    def denial(self, label: str, tolerance: float | None) -> str:
        """Why the group `label` is no answer: its operations do not hold. Empty where they do, or are forgiven."""
        share = self.share(label)
        if share is None or share >= FAILS or self._misfit(label) <= (tolerance or 0.0):
            return ""
        if self._misfit(label) >= MOST:
            return f"the lattice does not have the metric of {label}"
        return f"an operation of {label} correlates by {share:.2f} only, of 1 for a symmetry"

    def holding(self, labels: tuple[str, ...], tolerance: float | None) -> tuple[str, ...]:
        """The groups among `labels` whose operations hold."""
        return tuple(label for label in labels if not self.denial(label, tolerance))

    def _misfit(self, label: str) -> float:
        return self.misfits[GROUP_NAMES.index(label)]


def confidence(found: Prediction) -> Confidence:
    """`sure`, `likely`, `doubtful`, `undecided` where no group is given, `none` without a pattern.

    Sure is only what is probable, as is that the image is periodic, and of which every operation holds.
    """
    if not found.periodic:
        return "none"
    if found.group is None:
        return "undecided"
    p = min(found.probability, found.periodic_probability)
    if p < LIKELY:
        return "doubtful"
    return "sure" if p >= SURE and (found.held is None or found.held >= HOLDS) else "likely"


def doubts(found: Prediction) -> str:
    """Why an answer with a group is not sure; empty where it is, or where its statement says all."""
    if confidence(found) not in ("likely", "doubtful"):
        return ""
    said = []
    if found.probability < SURE:
        said.append(f"the networks give it {percent(found.probability)}")
    if found.periodic_probability < SURE:
        said.append(f"that the image is periodic has {percent(found.periodic_probability)}")
    if found.held is not None and found.held < HOLDS:
        said.append(f"its worst operation correlates by {found.held:.2f}, of 1 for a symmetry")
    return "; ".join(said)
