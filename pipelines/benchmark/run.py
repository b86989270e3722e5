"""Every system side by side: rows in order, each kept when it is finished, all in one MLflow run."""

from __future__ import annotations

import hashlib
import logging
import platform
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil
import torch

from ...hierarchy import HierError, UnknownNameError, compile_tree, load_tree
from ...hierarchy.files import sweep
from ...hierarchy.kept import keep_text, kept_text
from ...hierarchy.locks import only_one
from ...models.systems import BUNDLED, LOSSES, MAPS, REPRESENTATIONS, SYSTEMS, Sizes, System, system_named
from ..generating.parts import Part
from ..tracking.runs import Store
from ..training.fit import Reporter
from ..training.loop import Metrics
from .bench import Bench
from .data import SETS, check_disk, fresh_of, image_set, images_digest, plan_of
from .foreign import foreign_set, named
from .local_rows import can_be_run
from .memory import check_memory, free_memory
from .rows import Row, network_name, run_row
from .settings import Preset
from .tracking import row_run

logger = logging.getLogger("hier")
REVISION = 2  # raise it when systems change: earlier rows are then trained again


@dataclass(frozen=True)
class Job:
    """A row to be run: a system and a number of training images, and where its finished parts are kept.

    Its network is trained in `trained_in`, the folder of another row if that has the same one.
    """

    name: str
    system: System
    count: int
    work: Path
    trained_in: Path

    @property
    def file(self) -> Path:
        """The finished row."""
        return self.work / "row.json"

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
    sizes, digest = Sizes(preset.size, preset.width, preset.networks, preset.pretrained), images_digest(dict(images))

    def folder(name: str, system: System, count: int) -> Path:
        made_of = repr((version("hier"), REVISION, system, count))
        own = preset.digest_of_row(name, network_name(system, sizes), made_of, digest, device)
        return root / "work" / "benchmark" / own

    jobs = []
    for name, count in points:
        system = systems[name]
        work = folder(name, system, count)
        jobs.append(Job(name, system, count, work, folder(system.of, SYSTEMS[system.of], count) if system.of else work))
    return jobs


def hardware(device: str) -> str:
    """What it ran on, for the record."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    memory = psutil.virtual_memory().total / 2**30
    name = f"{platform.processor() or platform.machine()} ({torch.backends.cpu.get_cpu_capability()})"
    threads = torch.get_num_threads()
    return f"{name}, {psutil.cpu_count()} cores, {memory:.0f} GiB, {threads} thread{'s' * (threads > 1)}"


def benchmark(
    preset: Preset,
    only: Sequence[str],
    root: Path,
    store: Store,
    photos: Path | None = None,
    device: str = "cpu",
    reporter: Reporter = Reporter(),  # noqa: B008
    row_done: Callable[[list[Row]], None] = lambda rows: None,
    folders: Sequence[Path] = (),
    known: Sequence[Row] = (),
) -> list[Row]:
    """Train and measure the rows of `preset`, or `only` some. ``row_done(rows so far)`` follows every row.

    Rows are measured on labelled `folders`, too. The same call resumes an interrupted benchmark: finished rows are read
    from ``root/work/benchmark`` or are among `known`, the row it was in resumes after its last epoch. Raises HierError
    before anything starts if disk or memory are too small, or a folder has no images.
    """
    systems = chosen_systems(preset, only)
    plan = plan_of(preset, photos)
    jobs = jobs_of(preset, systems, plan, root, device)
    theirs, before = named(folders), {row.digest: row for row in known if row.digest}
    finished = [job.finished(before, theirs) for job in jobs]
    mine = {job.digest for job in jobs}
    others = [job.digest for job in jobs_of(preset, SYSTEMS, plan, root, device) if job.digest not in mine]
    kept = [before[digest] for digest in others if digest in before]  # not asked for now, and not to be lost
    waiting = {job.name: job.system for job, row in zip(jobs, finished, strict=True) if row is None}
    rows: list[Row] = []
    folder = root / "work" / "benchmark" / "images"
    sizes = Sizes(preset.size, preset.width, preset.networks, preset.pretrained)
    if waiting:
        check_disk(plan, folder)
        sweep(folder)
        trees = {system.tree or preset.tree for system in systems.values()}
        plans: dict[str, object] = {name: compile_tree(load_tree(name)) for name in trees}
        check_memory(waiting, preset, sizes, plans, free_memory(device))
        sets = {k: foreign_set(at, k, preset.size, folder, reporter.stage) for k, at in theirs.items()}
        sets = {k: image_set(plan[k], k, folder, device, reporter.stage) for k in SETS} | sets
        bench = Bench(preset, sets, device, reporter, fresh_of(preset, photos, device))
    params = {k: v for k, v in preset.model_dump(mode="json").items() if k not in ("systems", "curve", "name")}
    of = hashlib.sha256(repr((params, images_digest(plan))).encode()).hexdigest()[:16]  # what MLflow lets no one change
    resume = jobs[0].work.parent / f"run-{preset.name}-{of}.txt"
    tags = {"hier.benchmark": preset.name, "hier.hardware": hardware(device)}
    if not waiting:
        return [row for row in finished if row is not None] + kept
    with store.training(f"benchmark {preset.name}", params, tags, resume) as training:
        for job, row in zip(jobs, finished, strict=True):
            if row is None:
                title = job.name if job.count == preset.count else f"{job.name} on {job.count}"
                own = {**params, "system": job.name, "images": job.count, "network": network_name(job.system, sizes)}
                with row_run(training, title, own, {**tags, "hier.system": job.name}) as run:
                    epochs: dict[str, int] = {}

                    def after(part: str, epoch: int, of: int, metrics: Metrics) -> None:
                        step = epochs.setdefault(f"{part} {epoch}", len(epochs))  # noqa: B023
                        run.metrics(metrics, step)
                        reporter.epoch(f"{title}: {part}", epoch, of, metrics)  # noqa: B023

                    with only_one(job.trained_in, "benchmark"):
                        sweep(job.trained_in)
                        row = run_row(job.name, job.system, job.count, bench, job.trained_in, after)
                    row = row.model_copy(update={"digest": job.digest})
                    seen = {"images_seen": float(row.images_seen), "seconds": row.seconds}
                    run.metrics({**row.figures, **seen, "parameters": float(row.parameters)})
                    run.put("confusion", counts=row.confusion["valid"], choices=list(row.classes))
                keep_text(job.file, row.model_dump_json(indent=1))
            rows.append(row)
            row_done(rows + kept)
        training.metrics({"rows": float(len(rows)), "seconds": sum(row.seconds for row in rows)})
    return rows + kept


def find_network(root: Path, name: str) -> Path:
    """The newest finished row of system `name` under `root`; HierError when there is none."""
    found = []
    for file in (root / "work" / "benchmark").glob("*/row.json"):
        text = kept_text(file, "it is passed over")
        row = None if text is None else Row.model_validate_json(text)
        if row is not None and row.system == name and file.with_name("part-0.weights").exists():
            found.append((row.count, file.stat().st_mtime, file))
    if not found:
        raise HierError(f"no trained network {name!r} in {root}: train it with `hier benchmark --only {name}`")
    return max(found)[2]
