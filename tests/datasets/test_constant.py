"""On a card a batch is made by a fixed number of operations, however many images it has, with few waits for numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hier.datasets import CORRUPTIONS, Pattern, PatternDataset, Pool, Source, fold, looks, pictures, spots
from hier.datasets import dataset as parts
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

SIZE, FEW, MANY = 48, 32, 96
MOST, WAITS = 1200, 32
IN_TURN = "workmanship"  # the corruption that is made one image after the other
aten = torch.ops.aten
# what tells the host how large something is, or which number
HOST = {aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten.is_nonzero}
MASKED = {aten.index, aten.index_put, aten.index_put_}


class Counted(TorchDispatchMode):
    """How often each operation is called, and how many of the calls make the host wait."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.waits = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        packet = func.overloadpacket
        self.calls[str(packet)] += 1
        masked = packet in MASKED and any(t is not None and t.dtype == torch.bool for t in args[1])
        self.waits += packet in HOST or masked
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def as_on_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (parts, fold, looks, pictures, spots):
        monkeypatch.setattr(module, "at_once", lambda device: True)


def counted(work: Callable[[], object]) -> Counted:
    work()  # what is kept from the first time on
    with Counted() as mode:
        work()
    return mode


def fresh(patterns: Sequence[Pattern]) -> list[Pattern]:
    """The same, without what was found out about them before."""
    for p in patterns:
        p.__dict__.pop("orbits", None)
    return list(patterns)


@pytest.mark.parametrize("near_misses", [0.0, 0.5])
@pytest.mark.parametrize("source", ["photos", "atoms", "noise"])
def test_the_number_of_operations_does_not_depend_on_the_batch(source: Source, near_misses: float, pool: Pool) -> None:
    dataset = PatternDataset(source, 3, SIZE, cells=(4, 9), pool=pool, near_misses=near_misses)
    drawn = dataset.draws(range(MANY), 0)
    for work in (
        lambda n: dataset.clearance(fresh(drawn[:n])),
        lambda n: dataset.finish(fresh(drawn[:n]), range(n)),
    ):
        few, many = (counted(lambda n=n, work=work: work(n)) for n in (FEW, MANY))  # type: ignore[misc]
        assert many.calls == few.calls
        assert many.calls.total() < MOST
        assert many.waits == few.waits < WAITS


@pytest.mark.parametrize("source", ["photos", "noise"])
def test_the_same_of_pasted_patterns(source: Source, pool: Pool) -> None:
    dataset = PatternDataset(source, 3, SIZE, cells=(4, 9), pool=pool, construction="paste")
    drawn = dataset.draws(range(MANY), 0)
    few, many = (counted(lambda n=n: dataset.finish(fresh(drawn[:n]), range(n))) for n in (FEW, MANY))  # type: ignore[misc]
    assert many.calls == few.calls


@pytest.mark.parametrize("name", [name for name in CORRUPTIONS if name != IN_TURN])
def test_corruptions_are_done_to_all_images_of_a_batch_at_once(name: str) -> None:
    images = torch.rand(FEW, 3, SIZE, SIZE)
    severity = torch.linspace(0.5, 5, FEW)
    rngs = [np.random.default_rng(k) for k in range(FEW)]
    few, many = (counted(lambda n=n: CORRUPTIONS[name](images[:n], severity[:n], rngs[:n])) for n in (8, FEW))  # type: ignore[misc]
    assert many.calls == few.calls


def test_images_made_at_once_are_those_made_one_by_one(pool: Pool) -> None:
    for source in ("photos", "atoms", "noise"):
        dataset = PatternDataset(source, 4, SIZE, cells=(4, 9), pool=pool, near_misses=0.3)  # type: ignore[arg-type]
        together = dataset.batch(range(17))
        with pytest.MonkeyPatch.context() as on_a_cpu:
            for module in (parts, fold, looks, pictures, spots):
                on_a_cpu.setattr(module, "at_once", lambda device: False)
            one_by_one = dataset.batch(range(17))
        torch.testing.assert_close(together, one_by_one, atol=1e-4, rtol=0)


def test_a_large_batch_is_made_in_parts(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = PatternDataset("noise", 4, SIZE, cells=(4, 9))
    expected = dataset.batch(range(10))
    made: list[int] = []

    def finish(self: PatternDataset, patterns: Sequence[Pattern], indices: Sequence[int], device: str) -> Tensor:
        made.append(len(patterns))
        return self.finish_rough(patterns, indices, device)[1]

    monkeypatch.setattr(PatternDataset, "finish", finish)
    monkeypatch.setattr(parts, "PART", 4)
    torch.testing.assert_close(dataset.batch(range(10)), expected, atol=1e-6, rtol=0)
    assert made == [4, 4, 2]
