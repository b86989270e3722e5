"""Checkpoints: the state after an epoch, with a digest, so that a damaged or foreign file is never resumed from."""

from __future__ import annotations

import hashlib
import io
import logging
from pathlib import Path
from typing import Any

import torch

from ...hierarchy.files import whole

logger = logging.getLogger("hier")


def save_checkpoint(path: Path, state: dict[str, Any], made_of: str) -> None:
    """Write `state` with a digest of its bytes; `made_of` says which training it belongs to."""
    buffer = io.BytesIO()
    torch.save({**state, "made_of": made_of}, buffer)
    with whole(path) as file:
        file.write_bytes(hashlib.sha256(buffer.getbuffer()).digest() + buffer.getbuffer())


def load_checkpoint(
    path: Path, made_of: str | None = None, device: str | torch.device = "cpu"
) -> dict[str, Any] | None:
    """What was saved; None where there is nothing, or, with a warning, nothing to resume from.

    `made_of` None takes any training's.
    """
    if not path.exists():
        return None
    found = path.read_bytes()
    digest, rest = found[:32], found[32:]
    if hashlib.sha256(rest).digest() != digest:
        logger.warning("checkpoint %s is damaged: this part of the training starts over", path)
        return None
    state: dict[str, Any] = torch.load(io.BytesIO(rest), device, weights_only=True)
    if made_of is not None and state["made_of"] != made_of:
        logger.warning("checkpoint %s belongs to another training: this part of the training starts over", path)
        return None
    return state
