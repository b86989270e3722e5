"""Processes that work on one training: those that `torchrun` started, or this one alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

PATIENCE = timedelta(hours=24)  # for one process to wait for the others: one may make evidence, or records, meanwhile


@dataclass(frozen=True)
class Processes:
    """Process number `rank`, from 0, of `count`."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes what only one may write."""
        return self.rank == 0

    def own(self, batch: Tensor) -> Tensor:
        """This process's share of a batch that all of them know: every `count`-th row."""
        return batch if self.count == 1 else batch[self.rank :: self.count]

    def total(self, values: Tensor) -> Tensor:
        """The sum of `values` over all processes, in place."""
        if self.count > 1:
            dist.all_reduce(values)
        return values

    def least(self, value: Tensor) -> Tensor:
        """The least `value` over all processes, in place."""
        if self.count > 1:
            dist.all_reduce(value, dist.ReduceOp.MIN)
        return value

    def wait(self) -> None:
        """Until all are here."""
        if self.count > 1:
            dist.barrier()


ALONE = Processes()


@contextmanager
def together(device: str) -> Iterator[tuple[Processes, str]]:
    """The processes that `torchrun` started, and this one's device: on cards, each process has one of its own.

    They talk by NCCL between cards and by Gloo between CPUs, whose cores they share.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield ALONE, device
        return
    if device.startswith("cuda"):
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    else:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", count))))
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=PATIENCE)
    try:
        yield Processes(dist.get_rank(), count), device
    finally:
        dist.destroy_process_group()
