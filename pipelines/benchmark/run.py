"""Every system side by side: rows in order, each kept when it is finished, all in one MLflow run."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil
import torch

from ...hierarchy import HierError, compile_tree, load_tree
from ...hierarchy.files import sweep
from ...hierarchy.kept import keep_text, kept_text
from ...hierarchy.locks import only_one
from ...models.systems import SYSTEMS, System
from ..generating.parts import Part
from ..tracking.runs import Store, Training
from ..training.fit import Reporter
from ..training.loop import Metrics
from .bench import Bench, sizes_of
from .data import SETS, ImageSet, check_disk, fresh_of, image_set, images_digest, plan_of
from .foreign import foreign_set, named
from .jobs import Job, chosen_systems, jobs_of
from .memory import check_memory, free_memory
from .rows import Row, network_name, run_row
from .settings import Preset
from .tracking import row_run


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
    if not waiting:
        return [row for row in finished if row is not None] + kept
    fresh = fresh_of(preset, photos, device)
    bench = Bench(preset, _images(preset, waiting, plan, root, theirs, device, reporter), device, reporter, fresh)
    params = {k: v for k, v in preset.model_dump(mode="json").items() if k not in ("systems", "curve", "name")}
    of = hashlib.sha256(repr((params, images_digest(plan))).encode()).hexdigest()[:16]  # what MLflow lets no one change
    resume = jobs[0].work.parent / f"run-{preset.name}-{of}.txt"
    tags = {"hier.benchmark": preset.name, "hier.hardware": hardware(device)}
    rows: list[Row] = []
    with store.training(f"benchmark {preset.name}", params, tags, resume) as training:
        for job, row in zip(jobs, finished, strict=True):
            rows.append(_run(job, bench, training, params, tags) if row is None else row)
            row_done(rows + kept)
        training.metrics({"rows": float(len(rows)), "seconds": sum(row.seconds for row in rows)})
    return rows + kept


def _images(
    preset: Preset, waiting: dict[str, System], plan: dict[str, Part], root: Path, theirs: Mapping[str, Path],
    device: str, reporter: Reporter,
) -> dict[str, ImageSet]:  # fmt: skip
    """All sets of images, drawn or read, once it is clear that there is room for them and the rows `waiting`."""
    folder = root / "work" / "benchmark" / "images"
    check_disk(plan, folder)
    sweep(folder)
    trees = {system.tree or preset.tree for system in waiting.values()}
    plans: dict[str, object] = {name: compile_tree(load_tree(name)) for name in trees}
    check_memory(waiting, preset, sizes_of(preset), plans, free_memory(device))
    sets = {k: foreign_set(at, k, preset.size, folder, reporter.stage) for k, at in theirs.items()}
    return {k: image_set(plan[k], k, folder, device, reporter.stage) for k in SETS} | sets


def _run(job: Job, bench: Bench, training: Training, params: Mapping[str, object], tags: Mapping[str, str]) -> Row:
    """The row of `job`, trained and measured, in a run of its own, and kept."""
    network = network_name(job.system, bench.sizes)
    own = {**params, "system": job.name, "images": job.count, "network": network}
    epochs: dict[str, int] = {}
    with row_run(training, job.title, own, {**tags, "hier.system": job.name}) as run:

        def after(part: str, epoch: int, of: int, metrics: Metrics) -> None:
            run.metrics(metrics, epochs.setdefault(f"{part} {epoch}", len(epochs)))
            bench.reporter.epoch(f"{job.title}: {part}", epoch, of, metrics)

        with only_one(job.trained_in, "benchmark"):
            sweep(job.trained_in)
            row = run_row(job.name, job.system, job.count, bench, job.trained_in, after)
        row = row.model_copy(update={"digest": job.digest})
        seen = {"images_seen": float(row.images_seen), "seconds": row.seconds}
        run.metrics({**row.figures, **seen, "parameters": float(row.parameters)})
        run.put("confusion", counts=row.confusion["valid"], choices=list(row.classes))
    keep_text(job.file, row.model_dump_json(indent=1))
    return row


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
