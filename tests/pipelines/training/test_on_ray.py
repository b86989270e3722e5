"""Nodes that Ray's workers tune are those that one process tunes, whatever happens to the workers."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
import torch
from hier.hierarchy import HierError
from hier.models.bundle import load_bundle
from hier.pipelines.cluster import cluster
from hier.pipelines.training.on_ray import tune
from hier.pipelines.training.settings import SettingsError, TrainSettings
from hier.pipelines.training.train import train

pytestmark = [pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")]
SETTINGS = TrainSettings(
    source=("noise",), count=34, valid_count=17, cross_count=17, sizes=(64,), augment=False, near_misses=0, pasted=0,
    epochs=1, tune_epochs=3, batch=16, backbone="test_convnext", seed=5,
)  # fmt: skip
NODES = ["rotation", "reflection-1", "reflection-2", "finer-4"]


class Log:
    """In place of a store: nothing is recorded."""

    uri = "nowhere"

    @contextmanager
    def training(self, *_: object) -> Iterator[Log]:
        yield self

    node = training

    def nothing(self, *_: object) -> None:
        pass

    epoch = metrics = dataset = confusion = model = nothing


@contextmanager
def killer(when: Path) -> Iterator[list[int]]:
    """Kills one worker that tunes a node as soon as the file is there; yields who was killed."""
    killed: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while not killed and not over.wait(0.01):
            for process in psutil.Process().children(recursive=True) if when.exists() else ():
                if process.cmdline()[:1] == ["ray::tune"]:
                    os.kill(process.pid, signal.SIGKILL)
                    killed.append(process.pid)
                    break

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


@pytest.mark.slow
def test_nodes_from_a_cluster_are_those_of_one_process(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the workers do, for the sums to be the same
    try:
        one = train(SETTINGS, NODES, tmp_path / "one", Log())  # type: ignore[arg-type]
        with cluster("ray", workers=2), killer(tmp_path / "two" / "work") as killed:
            two = train(SETTINGS, NODES, tmp_path / "two", Log(), on_cluster=True)  # type: ignore[arg-type]
    finally:
        torch.set_num_threads(threads)
    assert one is not None
    assert two is not None
    assert len(killed) == 1
    assert [n.node for n in two.nodes] == NODES
    alone, there = load_bundle(one.card), load_bundle(two.card)
    for name, node in alone.nodes.items():
        for key, value in node.state_dict().items():
            torch.testing.assert_close(there.nodes[name].state_dict()[key], value, atol=1e-6, rtol=0)


def test_a_folder_that_a_machine_does_not_see_is_told(tmp_path: Path) -> None:
    with pytest.raises(HierError, match=r"does not see .*: train in a folder that all of them share"):
        tune((SETTINGS, "rotation", tmp_path, "cpu"))


def test_torchrun_and_a_cluster_exclude_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hier.pipelines.generating.processes import Processes
    from hier.pipelines.training import train as module

    @contextmanager
    def two(device: str) -> Iterator[tuple[Processes, str]]:
        yield Processes(0, 2), device

    monkeypatch.setattr(module, "together", two)
    with pytest.raises(SettingsError, match="--on is for a training of one process"):
        train(SETTINGS, NODES, tmp_path, Log(), on_cluster=True)  # type: ignore[arg-type]
    endless = SETTINGS.model_copy(update={"endless": True})
    with pytest.raises(SettingsError, match="--endless is for a training of one process"):
        train(endless, NODES, tmp_path, Log())  # type: ignore[arg-type]
