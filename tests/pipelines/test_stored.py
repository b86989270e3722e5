"""Rows in files are those of the tensor that was written there, whatever is asked for, and none stays in memory."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
import torch
from hier.hierarchy import HierError
from hier.pipelines.generating.stored import JoinedRows, Rows, StoredRows, in_memory, picked
from hypothesis import HealthCheck, given, settings, strategies
from safetensors.torch import save_file
from torch import Tensor

Stored = tuple[StoredRows, Tensor]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """Pieces of 4, 1 and 6 rows, other tensors beside them, and all rows as one tensor."""
    folder, whole = tmp_path_factory.mktemp("rows"), torch.rand(11, 3, 2).half()
    files = []
    for k, piece in enumerate(whole.split([4, 1, 6])):
        files.append(folder / f"{k}.safetensors")
        save_file({"other": torch.rand(k + 1, 5), "maps": piece.clone(), "z": torch.rand(2)}, files[-1])
    return StoredRows.of("maps", files), whole


@given(at=strategies.lists(strategies.integers(0, 10), max_size=30), some=strategies.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_rows_are_those_of_a_tensor(stored: Stored, at: list[int], some: strategies.DataObject) -> None:
    rows, whole = stored
    index = torch.tensor(at, dtype=torch.long)
    assert torch.equal(rows[index], whole[index])
    cut = slice(*sorted(some.draw(strategies.tuples(strategies.integers(0, 11), strategies.integers(0, 11)))))
    assert torch.equal(rows[cut], whole[cut])
    if at:
        place = torch.tensor(some.draw(strategies.lists(strategies.integers(0, len(at) - 1), max_size=9))).long()
        for source in (rows, whole):
            assert torch.equal(picked(source, index)[place], whole[index][place])
    both: Rows = JoinedRows(rows, picked(whole, index))
    expected = torch.cat([whole, whole[index]])
    assert len(both) == len(expected)
    mixed = torch.tensor(some.draw(strategies.lists(strategies.integers(0, len(expected) - 1), max_size=9))).long()
    assert torch.equal(both[mixed], expected[mixed])
    assert torch.equal(both[cut], expected[cut])


def test_what_is_in_memory_is_told_from_what_is_not(stored: Stored) -> None:
    rows, whole = stored
    order = torch.tensor([3, 1])
    assert in_memory(rows) is None
    assert in_memory(picked(rows, order)) is None
    found = in_memory(picked(whole, order))
    assert found is not None
    assert torch.equal(found, whole[order])


def test_a_file_that_was_cut_off_meanwhile_is_named(tmp_path: Path) -> None:
    save_file({"maps": torch.rand(50, 40)}, tmp_path / "piece.safetensors")
    rows = StoredRows.of("maps", [tmp_path / "piece.safetensors"])
    (tmp_path / "piece.safetensors").write_bytes((tmp_path / "piece.safetensors").read_bytes()[:4000])
    assert torch.equal(rows[:10], rows[torch.arange(10)])
    with pytest.raises(HierError, match=r"piece\.safetensors was cut off"):
        rows[45:]


def test_reading_all_rows_a_few_at_a_time_keeps_none(tmp_path: Path) -> None:
    for k in range(8):
        save_file({"maps": torch.full((128, 32768), k).half()}, tmp_path / f"{k}.safetensors")  # 8 MiB each
    rows = StoredRows.of("maps", [tmp_path / f"{k}.safetensors" for k in range(8)])
    rows[:16]
    before = psutil.Process().memory_info().rss
    total = sum(float(rows[k : k + 16].float().mean()) for k in range(0, len(rows), 16))
    assert total / 8 == pytest.approx(sum(range(8)), rel=1e-6)
    assert psutil.Process().memory_info().rss - before < 24 * 2**20, "of 64 MiB that were read"
