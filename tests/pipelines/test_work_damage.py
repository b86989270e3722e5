"""Whatever happens to a file in `work`, the same command gets over it, with the same weights as without."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hier.models.bundle import load_bundle
from hier.models.weights import digest
from hier.pipelines.generating import evidence
from hier.pipelines.generating.parts import Arrays, Part
from hier.pipelines.tracking.runs import Store
from hier.pipelines.training.settings import TrainSettings
from hier.pipelines.training.train import train

SETTINGS = TrainSettings(
    source=("noise",), count=34, valid_count=17, cross_count=17, sizes=(64,), augment=False, near_misses=0, epochs=1,
    tune_epochs=1, batch=16, backbone="test_convnext", seed=6,
)  # fmt: skip


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def noise(file: Path) -> None:
    file.write_bytes(np.random.default_rng(0).bytes(max(64, file.stat().st_size)))


def flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


def folder(file: Path) -> None:
    file.unlink()
    file.mkdir()
    (file / "something").write_text("of somebody", encoding="utf-8")


DAMAGES = (cut, empty, noise, flipped, folder)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, made_up: Callable[[tuple[Part, str]], Arrays]) -> None:
    monkeypatch.setattr(evidence, "make", made_up)
    monkeypatch.setattr("os.cpu_count", lambda: 1)


@pytest.fixture
def run(dead: str) -> Callable[[Path], str]:
    """A training whose store does not answer, so that its records wait in `work`; digest of its weights."""

    def trained(root: Path) -> str:
        shutil.rmtree(root / "models", ignore_errors=True)
        train(SETTINGS, ["finer-4"], root, Store(root, dead))
        nodes = load_bundle(root / "models" / "wallpaper").nodes
        return digest({f"{name}/{key}": v for name, node in nodes.items() for key, v in node.state_dict().items()})

    return trained


def files(root: Path) -> list[Path]:
    return sorted(file for file in (root / "work").rglob("*") if file.is_file() and file.name != ".lock")


@pytest.mark.parametrize("damage", DAMAGES)
def test_all_files_damaged_at_once_are_made_again(
    tmp_path: Path, run: Callable[[Path], str], damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    first = run(tmp_path)
    there = files(tmp_path)
    names = {file.suffix for file in there}
    assert names == {".pt", ".json", ".safetensors", ".txt", ".jsonl"}
    for file in there:
        damage(file)
    caplog.clear()
    assert run(tmp_path) == first
    told = [record.getMessage() for record in caplog.records]
    assert len(set(told)) == len(told)
    assert all("\n" not in line for line in told)
    for kind in ("backbone.pt", "finer-4.pt", ".safetensors", "run-"):
        assert any(kind in line for line in told), kind
    assert run(tmp_path) == first


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_each_file_damaged_alone_is_made_again(
    tmp_path: Path, run: Callable[[Path], str], damage: Callable[[Path], None]
) -> None:
    first = run(tmp_path / "made")
    for k, file in enumerate(files(tmp_path / "made")):
        root = tmp_path / str(k)
        shutil.copytree(tmp_path / "made", root)
        damage(root / file.relative_to(tmp_path / "made"))
        assert run(root) == first, file
        shutil.rmtree(root)
