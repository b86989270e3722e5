"""What a benchmark leaves behind: a table on the screen, a CSV, a page in Markdown, pictures."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

from ...hierarchy import HierError, load_tree
from ...hierarchy.files import whole
from ...models.systems import SYSTEMS
from .figures import draw_confusions, draw_curve
from .rows import Row
from .settings import Preset
from .theirs import LATER, SAID, TABLE

SETS = {"train": "train", "valid": "valid", "cross_atoms": "atoms", "cross_noise": "noise"}
HEAD = ("system", "network", "classes", *SETS.values(), *(f"{s} loss" for s in SETS.values()), "images seen", "time")
RESULTS, TABLE_FILE, PAGE = "results.json", "results.csv", "benchmark.md"
CURVE, CONFUSIONS = "learning_curve.png", "confusion"
NOT_SHOWN = (2, *range(7, 12))  # columns that the screen has no room for


def cells(row: Row) -> list[str]:
    """A row as text: accuracies in %, losses, images seen, time."""
    accuracy = [f"{100 * row.figures[f'{name}/accuracy']:.1f}" for name in SETS]
    loss = [f"{row.figures[f'{name}/loss']:.2f}" for name in SETS]
    seconds = f"{row.seconds:.0f} s" if row.seconds < 600 else f"{row.seconds / 60:.0f} min"
    return [row.system, row.network, str(len(row.classes)), *accuracy, *loss, str(row.images_seen), seconds]


def full_rows(rows: Sequence[Row], preset: Preset) -> list[Row]:
    """The rows on all images, without the points of the learning curve."""
    return [row for row in rows if row.count == preset.count]


def not_run(rows: Sequence[Row], preset: Preset) -> list[str]:
    """Systems without a row on all images."""
    done = {row.system for row in full_rows(rows, preset)}
    return [name for name in SYSTEMS if name not in done]


def markdown(rows: Sequence[Row], preset: Preset, command: str, where: str, photos: bool, curve: bool) -> str:
    """The page: what was run on what, every figure, and the authors' own figures apart from them."""
    lines = [
        f"# Benchmark `{preset.name}`", "",
        f"`{command}` on {where}.", "",
        f"Images of {preset.size} x {preset.size} px with {preset.cells[0]:g} to {preset.cells[1]:g} cells in view; "
        f"trained on {preset.count} patterns of {'photographs' if photos else 'the bundled pictures and textures'}, "
        f"{preset.epochs} epochs in batches of {preset.batch}; measured on {preset.valid_count} patterns of pictures "
        f"not trained on, {preset.cross_count} of atoms and {preset.cross_count} of noise, neither ever trained on. "
        f"Precision {preset.precision}, seed {preset.seed}.", "",
        "Accuracy in %, then mean log loss. *train* is measured after training, on as many training images as there "
        "are validation images. *images seen* counts every network of a system: a tree of networks sees an image once "
        "at every node above its group. *time* is of training, symmetry maps included. Groups are equally frequent: "
        "the same answer for every image is correct for 6 % of 17 groups, 29 % of the five orders of rotation, 47 % of "
        "the three families of rotation.", "",
    ]  # fmt: skip
    header = f"| {' | '.join(HEAD)} |"
    rule = "|---|---|" + "---:|" * (len(HEAD) - 2)
    routes = dict.fromkeys(s.route for s in SYSTEMS.values())
    mine, missing = full_rows(rows, preset), not_run(rows, preset)
    for route in [*routes, *dict.fromkeys(r.route for r in mine if r.route not in routes)]:
        lines += [f"## {route[0].upper()}{route[1:]}", "", header, rule]
        for row in (r for r in mine if r.route == route):
            lines.append(f"| {' | '.join(cells(row))} |")
        for name in (n for n in missing if SYSTEMS[n].route == route):
            lines.append(f"| {name} | not run |{' |' * (len(HEAD) - 2)}")
        lines += [""]
        about = {r.system: r.about for r in mine if r.route == route}
        about |= {n: s.about for n, s in SYSTEMS.items() if s.route == route}
        lines += [f"- {name}: {text}" for name, text in about.items()] + [""]
    points = sorted((r for r in rows if any(r.system == o.system and r.count != o.count for o in rows)),
                    key=lambda r: (r.system, r.count))  # fmt: skip
    if points:
        lines += ["## Accuracy by number of training images", ""]
        lines += ["![learning curve](learning_curve.png)", ""] if curve else []
        lines += ["| system | images | valid | atoms | noise |", "|---|---:|---:|---:|---:|"]
        for row in points:
            three = (f"{100 * row.figures[f'{name}/accuracy']:.1f}" for name in list(SETS)[1:])
            lines.append(f"| {row.system} | {row.count} | {' | '.join(three)} |")
        lines += [""]
    lines += ["## Theirs", "", f"Not run here. {SAID} {LATER}", ""]
    lines += ["| network (theirs) | images | valid | atoms | noise |", "|---|---:|---:|---:|---:|"]
    lines += [f"| {t.network} | {t.images} | {t.valid:g} | {t.atoms:g} | {t.noise:g} |" for t in TABLE]
    return "\n".join([*lines, ""])


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """Every figure of every row, the points of the learning curve too."""
    figures = sorted({key for row in rows for key in row.figures})
    plain = ("system", "route", "network", "count", "images_seen", "seconds", "parameters", "device")
    with whole(path) as file, file.open("w", newline="", encoding="utf-8") as out:
        table = csv.writer(out)
        table.writerow([*plain, "classes", *figures])
        for row in rows:
            own = [getattr(row, key) for key in plain]
            table.writerow([*own, len(row.classes), *(f"{row.figures[key]:.6g}" for key in figures)])


def blocks_of(row: Row, tree: str) -> dict[str, int]:
    """A row's classes as the tree has them from left to right, each with the branch of the root it belongs to."""
    loaded = load_tree(tree)
    if set(row.classes) != set(loaded.labels):
        return {name: k for k, name in enumerate(row.classes)}
    paths = {label: [choice for _, choice in loaded.path(label)] for label in loaded.labels}
    return {label: paths[label][0] for label in sorted(paths, key=paths.__getitem__)}


def write_all(
    rows: Sequence[Row], preset: Preset, out: Path, command: str, where: str, photos: bool, drawn: set[str]
) -> None:
    """Everything into `out`; pictures of rows in `drawn` are there already, and it grows."""
    results = {"preset": preset.model_dump(mode="json"), "hardware": where,
               "rows": [row.model_dump(mode="json") for row in rows], "not_run": not_run(rows, preset)}  # fmt: skip
    with whole(out / RESULTS) as file:  # first: by it the folder is known as a benchmark's
        file.write_text(json.dumps(results, indent=1), encoding="utf-8")
    for row in rows:
        if row.key not in drawn:
            name = row.system if row.count == preset.count else f"{row.system}-{row.count}"
            draw_confusions(row, blocks_of(row, preset.tree), out / CONFUSIONS / f"{name}.png")
            drawn.add(row.key)
    curve = draw_curve(rows, out / CURVE)
    write_csv(rows, out / TABLE_FILE)
    with whole(out / PAGE) as file:
        file.write_text(markdown(rows, preset, command, where, photos, curve), encoding="utf-8")


def check_folder(out: Path, force: bool = False) -> None:
    """HierError for a folder that holds files with the names to be written but no benchmark, unless `force`."""
    try:
        there = json.loads((out / RESULTS).read_bytes())
    except (OSError, ValueError):
        there = None
    if isinstance(there, dict) and {"preset", "rows"} <= there.keys():
        return
    if out.exists() and not out.is_dir():
        raise HierError(f"--out {out} is a file: give a folder")
    taken = [name for name in (RESULTS, TABLE_FILE, PAGE, CURVE, CONFUSIONS) if (out / name).exists()]
    if taken and not force:
        raise HierError(f"--out {out} holds a {taken[0]} that is not from a benchmark: give another folder, or --force")
