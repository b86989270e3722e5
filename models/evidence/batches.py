"""Lattices, structure factors and the rest of a batch of images: joined, cut and moved to another device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from .flatten import Flattened
from .groups import GroupScores
from .lattice import Lattice
from .structure import Structure

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

A = TypeVar("A", bound="DataclassInstance")
T = TypeVar("T", Lattice, Structure, GroupScores, Flattened)


def joined(parts: Sequence[T]) -> T:
    """Several batches as one."""
    return _made(parts[0], lambda name: torch.cat([getattr(part, name) for part in parts]))


def rows(batch: T, which: slice | Tensor) -> T:
    """Some images of a batch, a slice or by their indices (K,); a slice shares its memory."""
    return _made(batch, lambda name: getattr(batch, name)[which])


def put(batch: T, at: Tensor, some: T) -> T:
    """The batch with `some` in place of its images at indices `at` (K,)."""
    return _made(batch, lambda name: getattr(batch, name).index_copy(0, at, getattr(some, name)))


def moved(batch: T, device: torch.device | str) -> T:
    """The same batch on another device."""
    return _made(batch, lambda name: getattr(batch, name).to(device))


def on_cpu(answer: A) -> A:
    """A dataclass with all tensors in it, in its dictionaries and in dataclasses within it on the CPU."""
    values: dict[str, Any] = {}
    for field in fields(answer):
        value = getattr(answer, field.name)
        if isinstance(value, Tensor):
            values[field.name] = value.cpu()
        elif isinstance(value, dict):
            values[field.name] = {key: x.cpu() for key, x in value.items()}
        else:
            values[field.name] = on_cpu(value) if is_dataclass(value) and not isinstance(value, type) else value
    return type(answer)(**values)


def _made(like: T, value: Callable[[str], Tensor]) -> T:
    return type(like)(**{field.name: value(field.name) for field in fields(like)})
