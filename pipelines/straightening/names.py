"""Names of what users may ask for: they are known before torch is imported."""

from __future__ import annotations

from typing import Literal, get_args

Mode = Literal["auto", "none", "affine", "perspective", "smooth"]
Metric = Literal["auto", "known", "unknown"]
MapMode = Literal["auto", "none"]
MODES, METRICS, MAP_MODES = get_args(Mode), get_args(Metric), get_args(MapMode)
