"""The training loop: resumed it ends as if nothing had happened, and nothing damaged or not finite gets through."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hier.models.evidence.representation import EVIDENCE, MAP_CHANNELS, SIDE
from hier.models.node import NodeClassifier, NodeSettings
from hier.pipelines.training import loop
from hier.pipelines.training.checkpoints import load_checkpoint
from hier.pipelines.training.fit import Samples, batch_of, fit
from hier.pipelines.training.loop import SPEED, Metrics, Schedule, TrainingError, is_finite

SCHEDULE = Schedule(epochs=3, lr=1e-3, batch=8, seed=5)


@pytest.fixture(scope="module")
def samples() -> Samples:
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(24, MAP_CHANNELS, SIDE, SIDE, generator=generator).half()
    return Samples(maps, torch.rand(24, EVIDENCE, generator=generator), torch.arange(24) % 2)


@pytest.fixture(scope="module")
def whole(samples: Samples, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Metrics]]:
    """A folder with the checkpoints ``1.pt`` and ``3.pt`` of a training, after that many epochs, and its metrics."""
    folder, history = tmp_path_factory.mktemp("whole"), list[Metrics]()

    def report(epoch: int, metrics: Metrics) -> None:
        history.append(without_speed(metrics))
        shutil.copy(folder / "a.pt", folder / f"{epoch + 1}.pt")

    fit(node(), samples, samples, SCHEDULE, folder / "a.pt", report)
    return folder, history


def node() -> NodeClassifier:
    torch.manual_seed(1)
    return NodeClassifier(NodeSettings(("no", "yes"), "test_convnext"))


def without_speed(metrics: Metrics) -> Metrics:
    assert metrics[SPEED] > 0
    return {name: value for name, value in metrics.items() if name != SPEED}


def same(one: NodeClassifier, checkpoint: Path) -> bool:
    state = load_checkpoint(checkpoint)
    assert state is not None
    return all(torch.equal(v, state["node"][k]) for k, v in one.state_dict().items())


def test_a_training_resumes_after_its_last_epoch_and_ends_the_same(
    samples: Samples, whole: tuple[Path, list[Metrics]], tmp_path: Path
) -> None:
    folder, history = whole
    shutil.copy(folder / "1.pt", tmp_path / "a.pt")
    found: list[Metrics] = []
    torch.manual_seed(99)
    fresh = NodeClassifier(NodeSettings(("no", "yes"), "test_convnext"))  # its weights are those of the checkpoint
    resumed = fit(fresh, samples, samples, SCHEDULE, tmp_path / "a.pt", lambda _, m: found.append(without_speed(m)))
    assert same(resumed, folder / "3.pt")
    assert found == history
    assert not resumed.training


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def foreign(file: Path) -> None:
    torch.save({"node": {"weight": torch.zeros(2)}}, file)


def flipped(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("damage", [cut, empty, foreign, flipped])
def test_a_damaged_checkpoint_is_made_again_with_one_warning(
    samples: Samples, whole: tuple[Path, list[Metrics]], tmp_path: Path, caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path], None],
) -> None:  # fmt: skip
    shutil.copy(whole[0] / "1.pt", tmp_path / "a.pt")
    damage(tmp_path / "a.pt")
    again = fit(node(), samples, samples, SCHEDULE, tmp_path / "a.pt")
    assert same(again, whole[0] / "3.pt")
    (record,) = caplog.records
    assert "a.pt is damaged" in record.getMessage()


def test_a_checkpoint_of_another_training_is_not_resumed(
    samples: Samples, whole: tuple[Path, list[Metrics]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copy(whole[0] / "1.pt", tmp_path / "a.pt")
    fit(node(), samples, samples, replace(SCHEDULE, seed=6, epochs=1), tmp_path / "a.pt")
    assert "belongs to another training" in caplog.text


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_epoch(
    samples: Samples, whole: tuple[Path, list[Metrics]], tmp_path: Path
) -> None:
    shutil.copy(whole[0] / "1.pt", tmp_path / "backbone.pt")
    before = (tmp_path / "backbone.pt").read_bytes()
    one = node()
    one.register_forward_hook(lambda _, __, logits: logits * torch.nan)
    with pytest.raises(TrainingError, match=r"backbone diverged: a loss .* in epoch 2, step 1; .* epoch 1 is kept"):
        fit(one, samples, samples, SCHEDULE, tmp_path / "backbone.pt")
    assert (tmp_path / "backbone.pt").read_bytes() == before


def test_weights_that_are_not_finite_are_never_kept(samples: Samples, tmp_path: Path) -> None:
    one = node()
    # the loss of the only step is finite, its gradient is not
    one.head[-1].weight.register_hook(lambda gradient: gradient * torch.inf)
    few = Samples(samples.maps[:3], samples.numbers[:3], samples.targets[:3])
    with pytest.raises(TrainingError, match="weights that are not finite"):
        fit(one, few, few, SCHEDULE, tmp_path / "a.pt")
    assert not is_finite(one)
    assert not (tmp_path / "a.pt").exists()


def test_a_sample_that_is_not_finite_is_named(samples: Samples, tmp_path: Path) -> None:
    maps = samples.maps.clone()
    maps[7, 0, 3, 3] = torch.nan
    with pytest.raises(TrainingError, match="sample 7"):
        fit(node(), replace(samples, maps=maps), samples, SCHEDULE, tmp_path / "a.pt")
    assert not (tmp_path / "a.pt").exists()


def test_a_training_resumes_in_the_middle_of_an_epoch_to_the_same_bits(
    samples: Samples, whole: tuple[Path, list[Metrics]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECKED", 1)
    monkeypatch.setattr(loop, "EVERY", 0.0)
    steps = len(samples) // batch_of(len(samples), SCHEDULE.batch)
    assert steps > 2
    for last in range(1, 3 * steps):
        stopped, calls = node(), 0

        def stop(*_: object, last: int = last) -> None:
            nonlocal calls
            calls += 1
            if calls > last:
                raise KeyboardInterrupt

        stopped.train()
        stopped.inner.register_full_backward_pre_hook(stop)
        checkpoint = tmp_path / f"{last}.pt"
        with pytest.raises(KeyboardInterrupt):
            fit(stopped, samples, samples, SCHEDULE, checkpoint)
        state = load_checkpoint(checkpoint)
        assert state is not None
        assert len(state["history"]) * steps + state["begun"].get("step", 0) == last
        found: list[Metrics] = []
        torch.manual_seed(99)
        resumed = fit(
            node(), samples, samples, SCHEDULE, checkpoint, lambda _, m, found=found: found.append(without_speed(m))
        )
        assert same(resumed, whole[0] / "3.pt")
        assert found == whole[1]
