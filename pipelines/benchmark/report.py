"""What a benchmark leaves behind: a CSV, a page in Markdown, pictures."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

from ...hierarchy import HierError, load_tree
from ...hierarchy.files import whole
from .cells import full_rows, not_run
from .figures import draw_confusions, draw_curve, draw_training
from .page import CURVE, TRAINING, markdown
from .rows import Row
from .settings import Preset

RESULTS, TABLE_FILE, PAGE = "results.json", "results.csv", "benchmark.md"
CONFUSIONS = "confusion"


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """Every figure of every row, the points of the learning curve too."""
    figures = sorted({key for row in rows for key in row.figures})
    plain = ("system", "route", "network", "count", "images_seen", "seconds", "parameters", "device")
    with whole(path) as file, file.open("w", newline="", encoding="utf-8") as out:
        table = csv.writer(out)
        table.writerow([*plain, "classes", *figures])
        for row in rows:
            own = [getattr(row, key) for key in plain]
            values = [f"{row.figures[key]:.6g}" if key in row.figures else "" for key in figures]
            table.writerow([*own, len(row.classes), *values])


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
    curve, training = draw_curve(rows, out / CURVE), draw_training(full_rows(rows, preset), out / TRAINING)
    write_csv(rows, out / TABLE_FILE)
    text = markdown(rows, preset, command, where, photos, curve, training)
    with whole(out / PAGE) as file:
        file.write_text(text, encoding="utf-8")


def rows_in(out: Path) -> list[Row]:
    """The rows of a benchmark in `out`; none where there is none, or one that another version wrote."""
    try:
        return [Row.model_validate(row) for row in json.loads((out / RESULTS).read_bytes())["rows"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


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
    taken = [name for name in (RESULTS, TABLE_FILE, PAGE, CURVE, TRAINING, CONFUSIONS) if (out / name).exists()]
    if taken and not force:
        raise HierError(f"--out {out} holds a {taken[0]} that is not from a benchmark: give another folder, or --force")
