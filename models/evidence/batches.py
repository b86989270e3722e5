"""Dataclasses of tensors whose first axis is the batch (`Lattice`, `Structure`): joined, cut and moved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def joined(parts: Sequence[T]) -> T:
    """Several batches as one."""
    return _made(type(parts[0]), lambda name: torch.cat([getattr(part, name) for part in parts]))


def rows(batch: T, which: slice) -> T:
    """Some images of a batch; they share its memory."""
    return _made(type(batch), lambda name: getattr(batch, name)[which])


def moved(batch: T, device: torch.device | str) -> T:
    """The same batch on another device."""
    return _made(type(batch), lambda name: getattr(batch, name).to(device))


def _made(kind: Any, value: Callable[[str], Tensor]) -> Any:
    return kind(**{field.name: value(field.name) for field in fields(kind)})
