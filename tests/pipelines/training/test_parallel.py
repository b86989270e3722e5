"""Two processes train one network, with the result of one to rounding, and a level of the tree by the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hier.models.bundle import load_bundle
from hier.models.evidence.representation import EVIDENCE, MAP_CHANNELS, SIDE
from hier.models.node import NodeClassifier, NodeSettings
from hier.pipelines.generating.processes import Processes, together
from hier.pipelines.training.fit import Samples, batch_of, fit
from hier.pipelines.training.loop import SPEED, Metrics, Schedule

SCHEDULE = Schedule(epochs=3, lr=1e-3, batch=16, seed=5)
BACKBONES = ("lcnet_050", "test_convnext")  # with batch normalisation, and without
TRAINING = """
{source: [noise], count: 34, valid_count: 17, cross_count: 17, sizes: [64], epochs: 2, tune_epochs: 1, batch: 16,
 augment: false, near_misses: 0, pasted: 0, seed: 5}
"""


def trained(backbone: str, folder: Path, processes: Processes) -> tuple[torch.Tensor, list[Metrics]]:
    """What a node says of 64 made-up samples after it was fitted to them, and the metrics of its epochs."""
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(64, MAP_CHANNELS, SIDE, SIDE, generator=generator).half()
    numbers, misfits = torch.rand(64, EVIDENCE, generator=generator), 0.5 * torch.rand(64, 18, generator=generator)
    samples = Samples(maps, numbers, torch.arange(64) % 2, misfits, torch.arange(17) % 2)
    torch.manual_seed(1)
    node, history = NodeClassifier(NodeSettings(("no", "yes"), backbone)), list[Metrics]()
    fit(node, samples, samples, SCHEDULE, folder / f"{backbone}.pt", lambda _, m: history.append(m), True, processes)
    return node.log_probabilities(maps.float(), numbers), history


def torchrun(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def test_two_processes_train_what_one_trains(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    torchrun(str(Path(__file__).resolve()), str(tmp_path), cwd=tmp_path)
    for backbone in BACKBONES:
        alone, history = trained(backbone, tmp_path / "one", Processes())
        for rank in (0, 1):
            found, metrics = torch.load(tmp_path / f"{backbone}-{rank}.pt")
            torch.testing.assert_close(found, alone, atol=5e-4, rtol=0)
            for one, other in zip(history, metrics, strict=True):
                assert other == pytest.approx(one | {SPEED: other[SPEED]}, abs=5e-4)
        assert (tmp_path / f"{backbone}.pt").exists(), "the first keeps the checkpoint"


def test_a_batch_is_shared_evenly() -> None:
    assert batch_of(1000, 128, 1) == 128
    assert batch_of(1000, 128, 3) == 126
    assert batch_of(10, 128, 4) == 8
    whole = torch.arange(6)
    assert torch.equal(torch.stack([Processes(r, 2).own(whole) for r in (0, 1)]).T.flatten(), whole)


@pytest.mark.slow
def test_torchrun_trains_a_level_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "training.yaml").write_text(TRAINING, encoding="utf-8")
    arguments = ["-m", "hier", "train", "--level", "reflection", "--config", "training.yaml", "--device", "cpu"]
    done = torchrun(*arguments, "--json", cwd=tmp_path)
    made = json.loads(done.stdout)  # of one process, not of both
    assert len(made["nodes"]) == 5
    together = load_bundle(tmp_path / made["card"])
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "training.yaml").write_text(TRAINING, encoding="utf-8")
    one = subprocess.run(
        [sys.executable, *arguments, "--json"], cwd=tmp_path / "one", capture_output=True, text=True, check=True
    )
    alone = load_bundle(tmp_path / "one" / json.loads(one.stdout)["card"])
    maps, numbers = torch.rand(8, MAP_CHANNELS, SIDE, SIDE), torch.rand(8, EVIDENCE)
    for name, node in alone.nodes.items():
        expected, found = (n.eval().log_probabilities(maps, numbers) for n in (node, together.nodes[name]))
        # after four steps Adam's are as large for gradients that are only rounding: see the test above for exactness
        torch.testing.assert_close(found, expected, atol=0.06, rtol=0)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    with together("cpu") as (processes, _):
        for backbone in BACKBONES:
            torch.save(trained(backbone, folder, processes), folder / f"{backbone}-{processes.rank}.pt")
