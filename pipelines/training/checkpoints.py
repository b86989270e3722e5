"""Checkpoints: the state after an epoch, with a digest, so that a damaged or foreign file is never resumed from."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import torch

from ...hierarchy.kept import keep, kept

OVER = "this part of the training starts over"
logger = logging.getLogger("hier")


def save_checkpoint(path: Path, state: dict[str, Any], made_of: str) -> None:
    """Write `state` with a digest of its bytes; `made_of` says which training it belongs to."""
    buffer = io.BytesIO()
    torch.save({**state, "made_of": made_of}, buffer)
    keep(path, buffer.getvalue())


def load_checkpoint(
    path: Path, made_of: str | None = None, device: str | torch.device = "cpu"
) -> dict[str, Any] | None:
    """What was saved; None where there is nothing, or, with a warning, nothing to resume from.

    `made_of` None takes any training's.
    """
    found = kept(path, OVER)
    if found is None:
        return None
    state: dict[str, Any] = torch.load(io.BytesIO(found), device, weights_only=True)
    if made_of is not None and state["made_of"] != made_of:
        logger.warning("checkpoint %s belongs to another training: %s", path, OVER)
        return None
    return state
