"""The rows of a benchmark to be run: systems, on how many images, made of what, and where their parts are kept."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from ...hierarchy import HierError, UnknownNameError
from ...hierarchy.kept import kept_text
from ...models.systems import BUNDLED, LOSSES, MAPS, REPRESENTATIONS, SYSTEMS, System, system_named
from ..generating.parts import Part
from .bench import sizes_of
from .data import images_digest
from .local_rows import can_be_run
from .rows import Row, network_name
from .settings import Preset

logger = logging.getLogger("hier")
REVISION = 2  # raise it when systems change: earlier rows are then trained again


@dataclass(frozen=True)
class Job:
    """A row to be run: a system and a number of training images, and where its finished parts are kept.

    Its network is trained in `trained_in`, the folder of another row if that has the same one. It is trained on the
    `whole` of the images, or is a point of the learning curve.
    """

    name: str
    system: System
    count: int
    work: Path
    trained_in: Path
    whole: bool = True

    @property
    def file(self) -> Path:
        """The finished row."""
        return self.work / "row.json"

    @property
    def title(self) -> str:
        """The row's name; in a learning curve with the number of images."""
        return self.name if self.whole else f"{self.name} on {self.count}"

    @property
    def digest(self) -> str:
        """What the row is made of, as a name."""
        return self.work.name

    def finished(self, known: Mapping[str, Row], sets: Collection[str]) -> Row | None:
        """The row, if it was finished before and measured on all foreign `sets`; a damaged one was not.

        `known` are rows of other folders, by digest.
        """
        row = known.get(self.digest)
        text = kept_text(self.file, "this row is " + ("read from the results" if row else "measured again"))
        row = row if text is None else Row.model_validate_json(text)
        asked = () if self.system.centred else sets
        return row if row and all(f"sets/{name}/accuracy" in row.figures for name in asked) else None


def chosen_systems(preset: Preset, only: Sequence[str]) -> dict[str, System]:
    """The rows of a preset, or those named; UnknownNameError with similar names.

    Without HiClass its rows are left out with a warning; HierError if they are asked for by name.
    """
    names = list(only) or list(preset.systems) or list(SYSTEMS)
    for name in (*preset.curve.systems, *preset.systems):
        system_named(name)
    found = {name: system_named(name) for name in dict.fromkeys(names)}
    local = [name for name, system in found.items() if system.local]
    if local and not can_be_run():
        if only or preset.systems:
            raise HierError(f"row {local[0]} needs HiClass: pip install 'hier[hiclass]'")
        logger.warning("rows %s are left out: they need HiClass, pip install 'hier[hiclass]'", ", ".join(local))
        found = {name: system for name, system in found.items() if name not in local}
    for name, system in found.items():
        if system.representation not in (*REPRESENTATIONS, MAPS, BUNDLED):
            raise UnknownNameError(f"representation of system {name!r}", system.representation, REPRESENTATIONS)
        if system.loss not in LOSSES:
            raise UnknownNameError(f"loss of system {name!r}", system.loss, LOSSES)
    return found


def jobs_of(
    preset: Preset, systems: Mapping[str, System], images: Mapping[str, Part], root: Path, device: str
) -> list[Job]:
    """Rows in the order in which they run: all systems on all images, then the points of the learning curve."""
    counts = [n for n in preset.curve.counts if n < preset.count]
    points = [(name, preset.count) for name in systems]
    points += [(name, n) for name in preset.curve.systems if name in systems for n in counts]
    sizes, digest = sizes_of(preset), images_digest(dict(images))

    def folder(name: str, system: System, count: int) -> Path:
        made_of = repr((version("hier"), REVISION, system, count))
        own = preset.digest_of_row(name, network_name(system, sizes), made_of, digest, device)
        return root / "work" / "benchmark" / own

    jobs = []
    for name, count in points:
        system = systems[name]
        work = folder(name, system, count)
        trained_in = folder(system.of, SYSTEMS[system.of], count) if system.of else work
        jobs.append(Job(name, system, count, work, trained_in, count == preset.count))
    return jobs
