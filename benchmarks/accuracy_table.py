"""What accuracy.py measured, beside its goals: as a Markdown table, or in MLflow.

    python benchmarks/accuracy_table.py OUT.jsonl [--rotation NAME] [--calibration NAME] [--beside OTHER.jsonl NAME]
    python benchmarks/accuracy_table.py OUT.jsonl --record mlruns

Columns are the models in the order of the rows, the ones that pixels and the threshold rule stand for first. --rotation
adds how often a model is correct in the paper's three classes of rotation, --calibration its expected calibration
error, --beside a model of other rows, on as many images as those have.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from hier.datasets import CORRUPTIONS, OF_PATTERN, OF_VIEW
from hier.pipelines.benchmark.tracking import row_run
from hier.pipelines.tracking.runs import store

Row = dict[str, Any]
BASELINES = ("pixels", "threshold rule")
WITHOUT_GOAL = (OF_PATTERN, *OF_VIEW, "shadow", "vignette", "lines", "hot", "plane")
GOALS = {
    "photos": "99.5",
    "atoms": "99.0 (1,000: 97)",
    "noise": "99.0",
    **{f"{source}, pasted": "98.5" for source in ("photos", "atoms", "noise")},
    "atoms, noise of 0.1 of the grey range": "98.5",
    "atoms, noise of 0.3 of the grey range": "95",
    "atoms, noise of half their deviation": "97",
    "atoms, distorted by 2 %": "97",
    "noise, aligned": "98.0",
    **{
        f"{source}, {view}": goal
        for view in ("aligned", "128 px", "192 px", "384 px", "512 px", "60 to 100 cells")
        for source, goal in (("photos", "98.5"), ("atoms", "98.0"))
    },
    **{
        f"{source}, {name} 3": "95 (bundled)"
        for name in CORRUPTIONS
        if name not in WITHOUT_GOAL
        for source in ("photos", "atoms")
    },
}


def rows_of(path: Path) -> list[Row]:
    """Rows of the file, the last of each line, in the order in which lines came first; none if there is no file."""
    if not path.exists():
        return []
    rows = [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]
    return list({row["line"]: row for row in rows}.values())


def names_of(rows: list[Row]) -> list[str]:
    """Models of any row: the baselines, then the others as they come."""
    names = dict.fromkeys(name for row in rows for name in row["models"])
    return [*(name for name in BASELINES if name in names), *(name for name in names if name not in BASELINES)]


def beside(rows: list[Row], other: list[Row], name: str) -> list[Row]:
    """The rows with the model `name` of the `other` rows, named so that it cannot be taken for one of theirs."""
    found = {row["line"]: (f"{name}, before ({row['count']:,})", row["models"].get(name, {})) for row in other}
    return [
        row | {"models": row["models"] | dict([found[row["line"]]])} if row["line"] in found else row for row in rows
    ]


def table(rows: list[Row], rotation: list[str], calibration: list[str]) -> str:
    """Markdown: a table of the lines and one of the non-patterns."""
    lines = [row for row in rows if row["line"] != "no pattern"]
    asked = [
        *((name, name, "groups") for name in names_of(lines)),
        *((f"rotation: {name}", name, "family") for name in rotation),
        *((f"ECE %: {name}", name, "ece") for name in calibration),
    ]
    made = [[f"{lines[0]['count']:,} images per line, % correct", "goal", *(head for head, _, _ in asked)]]
    for row in lines:
        cells = [_percent(row["models"].get(name, {}).get(figure)) for _, name, figure in asked]
        made.append([row["line"], GOALS.get(row["line"], ""), *cells])
    text = _markdown(made)
    for row in (row for row in rows if row["line"] == "no pattern"):
        of = row["models"].values()
        made = [[f"{row['count']:,} non-patterns, % rejected", *row["models"]]]
        made += [[kind, *(_percent(model.get(kind)) for model in of)] for kind in next(iter(of))]
        text += "\n" + _markdown(made)
    return text


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f}"


def _markdown(rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:], ""])


def record(rows: list[Row], root: Path, resume: Path) -> None:
    """Every model as a run in MLflow, a metric for each line."""
    with store(root).training("accuracy", {"lines": len(rows)}, {}, resume) as run:
        for name in names_of(rows):
            with row_run(run, name, {"model": name}, {}) as own:
                for row in rows:
                    line = row["line"].replace(", ", "/").replace(" ", "-").replace("%", "percent")
                    numbers = {k: v for k, v in row["models"].get(name, {}).items() if isinstance(v, float)}
                    own.metrics({f"{line}/{key}": value for key, value in numbers.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path, help="what accuracy.py wrote")
    parser.add_argument("--rotation", action="append", default=[], metavar="NAME", help="may be repeated")
    parser.add_argument("--calibration", action="append", default=[], metavar="NAME", help="may be repeated")
    parser.add_argument("--beside", nargs=2, metavar=("OTHER.jsonl", "NAME"), help="a model of other rows")
    parser.add_argument("--record", type=Path, metavar="MLRUNS", help="put the rows into MLflow's store instead")
    given = parser.parse_args()
    rows = rows_of(given.rows)
    if not rows:
        parser.error(f"{given.rows} holds no rows: make some with accuracy.py")
    if given.beside:
        rows = beside(rows, rows_of(Path(given.beside[0])), given.beside[1])
    if given.record:
        record(rows, given.record, given.rows.with_suffix(".run"))
    else:
        print(table(rows, given.rotation, given.calibration), end="")


if __name__ == "__main__":
    main()
