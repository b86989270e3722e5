"""Names of the routers: they are known before torch is imported."""

from __future__ import annotations

from typing import Literal, get_args

Router = Literal["soft", "hard", "beam", "blend", "stack", "bayes", "climb", "flat"]
ROUTERS: tuple[Router, ...] = get_args(Router)
