"""A field map in a few figures: each group's share of the field, its cell, its confidence."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..reading.pixel_size import PixelSize
from .domains import Domains
from .measure import FieldMap


def summary(found: FieldMap, what: Domains, pixel: PixelSize | None) -> dict[str, Any]:
    """Plain data: positions, how many were measured, and for each group its share and medians over its positions."""
    groups = []
    for index in np.unique(what.group):
        at = what.group == index
        entry: dict[str, Any] = {
            "group": None if index < 0 else found.labels[index],
            "share": float(at.mean()),
            "probability": float(np.median(what.probability[at])),
        }
        if index >= 0:
            entry |= {name: float(np.nanmedian(getattr(what, name)[at])) for name in ("a", "b", "gamma")}
            if pixel is not None:
                entry |= {f"{name}_length": entry[name] * pixel.value for name in ("a", "b")} | {"unit": pixel.unit}
        groups.append(entry)
    groups.sort(key=lambda entry: -entry["share"])
    rows, columns = what.group.shape
    return {"rows": rows, "columns": columns, "measured": int(found.measured.sum()), "window": found.window,
            "groups": groups, "unreadable": found.unreadable}  # fmt: skip
