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
            "groups": groups, "unreadable": found.unreadable, "field": _field(found)}  # fmt: skip


def _field(found: FieldMap) -> dict[str, Any] | None:
    """What straightened the picture: its kind, its error in px with its standard error, how much it stretches."""
    field = found.field
    if field is None:
        return None
    return {"kind": field.kind, "error": field.error, "error_se": field.error_se, "agreement": field.agreement,
            "strain": field.strain()}  # fmt: skip
