"""The nodes of a training, tuned side by side on the machines of a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from ...hierarchy import HierError, load_tree
from ...models.bundle import FLAT
from ..cluster import spread
from ..generating.processes import ALONE
from .data import TrainingData
from .fit import Reporter
from .settings import TrainSettings, digest
from .steps import Steps

Job = tuple[TrainSettings, str, Path, str]


def tune_on_ray(steps: Steps, chosen: Sequence[str], root: Path) -> None:
    """Tune each of the nodes `chosen` by a task of its own; `root` is a folder that all machines see.

    The backbone is finished. A task leaves the checkpoint of its node in the folder; one whose worker dies is begun
    again by another, from that checkpoint.
    """
    steps.data.prepare(chosen)  # once, and here
    photos, tree = steps.settings.photos, Path(steps.settings.tree)
    absolute = {"photos": photos and photos.resolve(), "tree": str(tree.resolve()) if tree.exists() else str(tree)}
    settings = steps.settings.model_copy(update=absolute)
    names = [name for name in chosen if name != FLAT]
    advance = steps.reporter.stage("nodes", len(names))
    jobs = [(settings, name, root.resolve(), steps.device) for name in names]
    with closing(spread(tune, jobs, steps.device)) as tuned:
        for _ in tuned:
            advance(1)


def tune(job: Job) -> str:
    """Tune one node from the backbone in the shared folder, and return its name."""
    settings, name, root, device = job
    tree = load_tree(settings.tree)
    work = root / "work" / digest(settings, tree)
    if not (work / "backbone.pt").exists():
        raise HierError(f"a machine of the cluster does not see {work}: train in a folder that all of them share")
    data = TrainingData(settings, root / "work" / "evidence", device, Reporter().stage)
    steps = Steps(settings, tree, data, work, ALONE, device, Reporter())
    steps.tuned(name, steps.backbone())
    return name
