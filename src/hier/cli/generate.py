"""`hier generate`: patterns written to disk, or a sheet of them to look at."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..hierarchy import HierError, group
from ..screen.streams import tell
from .checks import check_device
from .options import Corrupt, Force, On, Quiet, Range, Verbose, part_of

if TYPE_CHECKING:
    from ..datasets import PatternDataset
    from ..pipelines.generating.export import Export, Summary

OF_A_RELEASE = frozenset({"release", "hidden", "count", "seed", "size", "as_json", "verbose", "quiet"})
EPILOG = (
    "Examples:  hier generate --source atoms --groups p4,p4m,p4g --count 3000 --format npy --out atoms  |  "
    "hier generate --preview sheet.png"
)


def generate(
    context: typer.Context,
    source: Annotated[str, typer.Option(help="photos, atoms, noise or outlines.")] = "photos",
    groups: Annotated[list[str] | None, typer.Option(help="Such as p4,pmg; may be repeated. All if left out.")] = None,
    count: Annotated[
        int | None,
        typer.Option(min=1, help="Number of images; the groups alternate. 1700, in a release 3400 a source."),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Random seed. 0, in a release that of everyone's.")] = None,
    size: Annotated[
        int | None, typer.Option(min=16, max=4096, help="Height and width in px: 256, on a sheet 144.")
    ] = None,
    orientation: Annotated[str, typer.Option(help="any or aligned.")] = "any",
    construction: Annotated[str, typer.Option(help="fold (exact) or paste (whole pixels, always aligned).")] = "fold",
    cells: Annotated[str | None, typer.Option(help="Fewest-most primitive cells in view, for instance 4-60.")] = None,
    corrupt: Corrupt = None,
    photos: Annotated[
        Path | None, typer.Option(help="Folder of photographs; scikit-image's and textures if left out.")
    ] = None,
    split: Annotated[str, typer.Option(help="Pictures to use: train or valid, which share none.")] = "train",
    format: Annotated[str, typer.Option(help="png, npy, hdf5 or webdataset.")] = "png",
    shard: Annotated[int, typer.Option(min=1, help="Images in a file; for png, in a step that can be resumed.")] = 500,
    out: Annotated[Path | None, typer.Option(help="Folder to write to.")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Only compare what --out holds with its manifest.")] = False,
    preview: Annotated[Path | None, typer.Option(help="Draw one image of each group and source to this file.")] = None,
    release: Annotated[
        Path | None,
        typer.Option(
            help="Make test sets of photos, atoms and noise for comparisons, in this folder; see docs/submit.md."
        ),
    ] = None,
    hidden: Annotated[
        bool,
        typer.Option("--hidden", help="Of a release: keep the labels in FOLDER-labels alone. Needs a secret --seed."),
    ] = False,
    force: Force = False,
    device: Annotated[
        str, typer.Option(callback=check_device, help="cpu, on all cores, or a GPU such as cuda.")
    ] = "cpu",
    on: On = None,
    range_: Range = None,
    misfits: Annotated[
        bool, typer.Option("--misfits/--no-misfits", help="Write how well each group holds; takes as long as to draw.")
    ] = True,
    controls: Annotated[
        bool,
        typer.Option(
            "--controls", help="Matched pairs, in OUT/patterns and OUT/controls: controls have other Fourier phases."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Make patterns with known wallpaper groups. Rerun the same command to resume.

    With --on, and for parts that are made by several machines, --out is a folder that all of them see.
    """
    from ..datasets import PatternDataset
    from ..hierarchy import UnknownNameError
    from ..pipelines.measuring.evaluate import parse_corruptions

    if release is not None:
        _only(context, OF_A_RELEASE)
        _release(release, count, seed, size, hidden, as_json)
        return
    if hidden:
        raise HierError("--hidden is for test sets: give --release FOLDER too")
    count, seed = count or 1700, seed or 0
    if split not in ("train", "valid"):
        raise UnknownNameError("split", split, ("train", "valid"))
    names = [group(name).name for text in groups or [] for name in text.split(",") if name]
    given: dict[str, Any] = {"groups": tuple(dict.fromkeys(names))} if names else {}
    small = preview is not None and cells is None and size is None
    dataset = PatternDataset(
        source, seed, size or (144 if preview else 256), orientation=orientation, construction=construction,  # type: ignore[arg-type]
        cells=(5.0, 14.0) if small else cell_range(cells), corruptions=parse_corruptions(corrupt or []), **given,
    )  # fmt: skip
    if preview is not None:
        for name, value in (("--on", on), ("--range", range_), ("--controls", controls)):
            if value:
                raise HierError(f"--preview draws one sheet on this machine: leave {name} out")
        _sheet(dataset, photos, preview, split, force)
        tell(json.dumps({"preview": str(preview)}) if as_json else f"drew {preview}")
        return
    if out is None:
        raise HierError("no output given: pass --out FOLDER, or --preview FILE.png for a sheet to look at")
    from ..pipelines.generating.export import Export, pairs_of

    if verify and on:
        raise HierError("--verify reads the files on this machine: leave --on out")
    run = Export(dataset, count, format, out, photos, split, shard, part_of(range_), misfits)
    for half in pairs_of(run) if controls else [run]:
        _export(half, verify, device, on, as_json)


def _only(context: typer.Context, allowed: frozenset[str]) -> None:
    """HierError for an option that was given and is not `allowed` beside --release, which makes its own choice."""
    for param in context.command.params:
        source = context.get_parameter_source(param.name or "")
        if source is not None and source.name == "COMMANDLINE" and param.name not in allowed:
            raise HierError(f"--release makes its own choice of patterns: leave {param.opts[0]} out")


def _sheet(dataset: PatternDataset, photos: Path | None, out: Path, split: str, force: bool) -> None:
    from ..pipelines.generating.preview import draw_sheet
    from ..pipelines.outputs import check_outputs

    check_outputs({"--preview": out}, photos.rglob("*") if photos else [], force=force)
    draw_sheet(dataset, photos, out, split)


def _release(out: Path, count: int | None, seed: int | None, size: int | None, hidden: bool, as_json: bool) -> None:
    from ..pipelines.generating.release import SEED, SOURCES, Release, release
    from ..screen.console import Screen
    from ..screen.progress import progress

    if hidden and seed is None:
        raise HierError("--hidden wants a --seed that nobody else knows, such as one of 18 digits")
    run = Release(out.absolute(), count or 3400, SEED if seed is None else seed, size or 256, hidden)
    with progress(Screen(stderr=True), "images", run.count * len(SOURCES)) as advance:
        files = release(run, advance)
    if as_json:
        typer.echo(json.dumps({"release": str(out), "files": [str(f) for f in files]} | run.settings()))
    else:
        tell(f"{out}: {run.count} images of each of {', '.join(SOURCES)}; labels in {run.labels / 'labels.csv'}")


def _export(run: Export, verify: bool, device: str, on: str | None, as_json: bool) -> None:
    from ..pipelines.generating.export import export
    from ..pipelines.generating.export import verify as check
    from ..screen.console import Screen
    from ..screen.progress import progress
    from .options import connected

    with connected(on, device) as device:
        begun = time.perf_counter()
        with progress(Screen(stderr=True), "verify" if verify else "images", run.images) as advance:
            summary = check(run, advance) if verify else export(run, advance, device, on is not None)
    seconds = time.perf_counter() - begun
    if as_json:
        values = asdict(summary) | {
            "complete": summary.complete, "seconds": round(seconds, 2), "out": str(run.out),
            "images_per_second": round(summary.made / seconds, 1), "part": "{}/{}".format(*run.part),
            "count": run.count, **run.settings,
        }  # fmt: skip
        typer.echo(json.dumps(values))
    else:
        for line in _told(run, summary, seconds, verify):
            tell(line)
    if summary.damaged:
        raise HierError(
            f"{summary.images - summary.found} of {summary.images} images are missing or damaged, first "
            f"{summary.damaged[0]}: delete what is damaged and run the command without --verify"
        )


def _told(run: Export, summary: Summary, seconds: float, verify: bool) -> list[str]:
    of = "" if run.part == (1, 1) else " of part {}/{}".format(*run.part)
    if verify:
        return [f"{run.out}: {summary.found} of {summary.images} images{of} match the manifest"]
    if not summary.made:
        return [f"{run.out}: complete, all {summary.images} images{of} are there; --verify reads them again"]
    lines = [
        f"{run.out}: {summary.images} images{of}, {summary.made} made in {seconds:.1f} s "
        f"({summary.made / seconds:.0f} a second), {summary.found} found there"
    ]
    worst = sorted(((rate, name) for name, rate in summary.refused.items() if rate), reverse=True)[:5]
    if worst:
        refused = ", ".join(f"{name} {100 * rate:.1f} %" for rate, name in worst)
        lines.append(f"draws rejected for having more symmetry, most often: {refused}")
    if summary.skipped_photographs:
        lines.append(f"{summary.skipped_photographs} files in {run.photos} could not be read and were skipped")
    return lines


def cell_range(text: str | None) -> tuple[float, float]:
    """``FEWEST-MOST`` primitive cells in view; the dataset's own range for None."""
    if text is None:
        return (4.0, 60.0)
    try:
        low, high = (float(part) for part in text.split("-"))
    except ValueError:
        raise HierError(f"--cells {text}: give fewest and most as in 4-60") from None
    return low, high
