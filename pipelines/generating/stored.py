"""Rows of a tensor too large for memory: read from the files that hold it, as they are asked for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...hierarchy import HierError

DTYPES: dict[str, np.dtype[np.floating]] = {"F16": np.dtype("<f2"), "F32": np.dtype("<f4")}  # as safetensors names them


class Rows(Protocol):
    """What is indexed by its first axis as a tensor is: a tensor, or one of the classes below."""

    def __len__(self) -> int:
        """Number of rows."""

    def __getitem__(self, at: Tensor | slice, /) -> Tensor:
        """Rows by their indices (K,) or by a slice: (K, ...)."""


@dataclass(frozen=True, eq=False)
class StoredRows:
    """One tensor of several safetensors files, joined along the first axis. No row of it stays in memory.

    `files`, the byte at which the tensor starts in each, the number of rows in each, and the shape and type of a row.
    A row is read in one piece by its place in the file.
    """

    files: tuple[Path, ...]
    starts: NDArray[np.int64]
    counts: NDArray[np.int64]
    shape: tuple[int, ...]
    dtype: np.dtype[np.floating]

    @classmethod
    def of(cls, name: str, files: Sequence[Path]) -> StoredRows:
        """The tensor `name` of `files`, one or more, whose rows all have one shape and type."""
        headers = [_header(file, name) for file in files]
        starts, counts = (np.array([h[k] for h in headers]) for k in (0, 1))
        return cls(tuple(files), starts, counts, *headers[0][2:])

    @cached_property
    def _stops(self) -> NDArray[np.int64]:
        return np.cumsum(self.counts)

    def __len__(self) -> int:
        return int(self.counts.sum())

    def __getitem__(self, at: Tensor | slice, /) -> Tensor:
        index = np.arange(len(self))[at] if isinstance(at, slice) else at.cpu().numpy()
        rows = np.empty((len(index), *self.shape), self.dtype)
        piece = np.searchsorted(self._stops, index, "right")
        size = self.dtype.itemsize * int(np.prod(self.shape))
        places = self.starts[piece] + (index - self._stops[piece] + self.counts[piece]) * size
        for k, (p, place) in enumerate(zip(piece.tolist(), places.tolist(), strict=True)):
            with open(self.files[p], "rb", buffering=0) as file:
                file.seek(place)
                if file.readinto(memoryview(rows[k]).cast("B")) != size:
                    raise HierError(f"{self.files[p]} was cut off while it was read: the same command makes it again")
        return torch.from_numpy(rows)


@dataclass(frozen=True, eq=False)
class PickedRows:
    """Some of `rows`, by their indices `order` (N,)."""

    rows: Rows
    order: Tensor

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, at: Tensor | slice, /) -> Tensor:
        return self.rows[self.order[at.to(self.order.device) if isinstance(at, Tensor) else at]]


@dataclass(frozen=True, eq=False)
class JoinedRows:
    """`first` and `second`, one after the other."""

    first: Rows
    second: Rows

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def __getitem__(self, at: Tensor | slice, /) -> Tensor:
        at = torch.arange(len(self))[at] if isinstance(at, slice) else at
        later = at >= len(self.first)
        one, two = self.first[at[~later]], self.second[at[later] - len(self.first)]
        # either may lie on a card without the other; where the rows of both go, in the order of `one` and `two`
        order = torch.cat([(~later).nonzero(), later.nonzero()]).flatten().argsort()
        return torch.cat([one, two.to(one.device)])[order.to(one.device)]


def picked(rows: Rows, order: Tensor) -> Rows:
    """Rows at indices `order` (N,): none is read or copied yet."""
    device = rows.device if isinstance(rows, Tensor) else torch.device("cpu")
    return PickedRows(rows, order.to(device))


def in_memory(rows: Rows) -> Tensor | None:
    """The rows as a tensor, if they are in memory already."""
    if isinstance(rows, PickedRows):
        return rows[:] if in_memory(rows.rows) is not None else None
    return rows if isinstance(rows, Tensor) else None


def _header(file: Path, name: str) -> tuple[int, int, tuple[int, ...], np.dtype[np.floating]]:
    """Where a tensor starts, its rows, and their shape and type.

    A safetensors file is the length of a header in eight bytes, the header in JSON, and the tensors in row-major order.
    """
    with open(file, "rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        about = json.loads(opened.read(length))[name]
    count, *shape = about["shape"]
    return 8 + length + about["data_offsets"][0], count, tuple(shape), DTYPES[about["dtype"]]
