"""A benchmark's rows as text: what its page and the screen show."""

from __future__ import annotations

from collections.abc import Sequence

from ...models.systems import SYSTEMS
from .rows import Row
from .settings import Preset

SETS = {"train": "train", "valid": "valid", "cross_atoms": "atoms", "cross_noise": "noise"}
HEAD = ("system", "network", "classes", *SETS.values(), *(f"{s} loss" for s in SETS.values()), "images seen", "time")
NOT_SHOWN = (2, *range(7, 12))  # columns that the screen has no room for


def cells(row: Row) -> list[str]:
    """A row as text: accuracies in %, losses, images seen, time."""
    accuracy = [f"{100 * row.figures[f'{name}/accuracy']:.1f}" for name in SETS]
    loss = [figure(row, f"{name}/loss") for name in SETS]
    seconds = f"{row.seconds:.0f} s" if row.seconds < 600 else f"{row.seconds / 60:.0f} min"
    return [row.system, row.network, str(len(row.classes)), *accuracy, *loss, str(row.images_seen), seconds]


def figure(row: Row, key: str, unit: float = 1.0) -> str:
    """A figure with two decimals, or one in %; a dash where the row has none."""
    value = row.figures.get(key)
    return "–" if value is None else f"{value / unit:.{2 if unit == 1.0 else 1}f}"


def full_rows(rows: Sequence[Row], preset: Preset) -> list[Row]:
    """The rows on all images, without the points of the learning curve."""
    return [row for row in rows if row.count == preset.count]


def not_run(rows: Sequence[Row], preset: Preset) -> list[str]:
    """Systems without a row on all images."""
    done = {row.system for row in full_rows(rows, preset)}
    return [name for name in SYSTEMS if name not in done]


def foreign_names(rows: Sequence[Row]) -> list[str]:
    """The foreign sets on which rows were measured."""
    keys = (key for row in rows for key in row.figures if key.startswith("sets/") and key.endswith("/accuracy"))
    return list(dict.fromkeys(key.split("/")[1] for key in keys))


def worst_set(row: Row) -> tuple[str, float] | None:
    """The foreign set on which a row is least often right, and how often; None for a row that was measured on none."""
    shares = {name: row.figures[f"sets/{name}/accuracy"] for name in foreign_names([row])}
    worst = min(shares, key=lambda name: shares[name], default=None)
    return None if worst is None else (worst, shares[worst])


def ranked(rows: Sequence[Row]) -> list[Row]:
    """The rows that were measured on foreign sets, the best at its worst set first."""
    told = [(worst[1], row) for row in rows if (worst := worst_set(row))]
    return [row for _, row in sorted(told, key=lambda pair: -pair[0])]
