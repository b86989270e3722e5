"""A tiny training of a few nodes, without MLflow: interrupted and resumed, refused twice at once, stopped in time."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hier.hierarchy import HierError, Tree, load_tree
from hier.hierarchy.locks import only_one
from hier.models.bundle import load_bundle
from hier.models.evidence.representation import EVIDENCE, MAP_CHANNELS, SIDE
from hier.models.node import NodeClassifier, NodeSettings
from hier.pipelines.generating import evidence
from hier.pipelines.generating.evidence import EvidenceError
from hier.pipelines.generating.parts import Arrays, Part
from hier.pipelines.training import train as training
from hier.pipelines.training.fit import Reporter
from hier.pipelines.training.loop import TrainingError
from hier.pipelines.training.settings import TrainSettings, digest
from hier.pipelines.training.train import NodeResult, TrainResult, train

SETTINGS = TrainSettings(
    source=("noise",), count=34, valid_count=17, cross_count=17, sizes=(64,), augment=False, near_misses=0, epochs=2,
    tune_epochs=1, batch=16, backbone="test_convnext", seed=5,
)  # fmt: skip
NODES = ["rotation", "finer-4"]
Make = Callable[[tuple[Part, str]], Arrays]


class Log:
    """In place of a store: the names of the models that were logged, and the epochs."""

    uri = "nowhere"

    def __init__(self) -> None:
        self.models: list[str] = []
        self.epochs: list[int] = []

    @contextmanager
    def training(self, *_: object) -> Iterator[Log]:
        yield self

    node = training

    def epoch(self, epoch: int, _: object) -> None:
        self.epochs.append(epoch)

    def metrics(self, _: object) -> None:
        pass

    def dataset(self, *_: object) -> None:
        pass

    def confusion(self, *_: object) -> None:
        pass

    def model(self, *given: object) -> None:
        self.models.append(Path(str(given[-1])).stem)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, made_up: Make) -> None:
    monkeypatch.setattr(evidence, "make", made_up)
    monkeypatch.setattr("os.cpu_count", lambda: 1)  # other processes would make real evidence


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, made_up: Make) -> Path:
    """The folder of a training that was not interrupted."""
    root = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evidence, "make", made_up)
        patch.setattr("os.cpu_count", lambda: 1)
        run(root)
    return root


def run(root: Path, settings: TrainSettings = SETTINGS, nodes: list[str] = NODES, **options: Any) -> TrainResult:
    return train(settings, nodes, root, options.pop("log", Log()), **options)


def weights(root: Path, name: str = "wallpaper") -> dict[str, torch.Tensor]:
    bundle = load_bundle(root / "models" / name)
    return {f"{name}/{key}": v for name, node in bundle.nodes.items() for key, v in node.state_dict().items()}


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(v, two[k]) for k, v in one.items())


@pytest.mark.parametrize("last", [("all groups", 0), ("rotation", 0)])
def test_an_interrupted_training_resumes_to_the_same_weights(tmp_path: Path, made: Path, last: tuple[str, int]) -> None:
    def stop(node: str, epoch: int, *_: object) -> None:
        if (node, epoch) == last:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, reporter=Reporter(epoch=stop))
    assert not (tmp_path / "models").exists()
    torch.manual_seed(99)  # whatever was drawn before
    log = Log()
    result = run(tmp_path, log=log)
    assert same(weights(tmp_path), weights(made))
    assert log.models == NODES
    assert log.epochs == [0, 1, 0, 0], "epochs before the interruption are reported, too"
    assert "finer-4" not in result.missing


def test_a_damaged_checkpoint_is_made_again_and_changes_nothing(
    tmp_path: Path, made: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(made / "work", tmp_path / "work", dirs_exist_ok=True)
    (backbone,) = tmp_path.glob("work/*/backbone.pt")
    backbone.write_bytes(backbone.read_bytes()[:1000])
    run(tmp_path)
    assert same(weights(tmp_path), weights(made))
    (record,) = caplog.records
    assert "backbone.pt is damaged" in record.getMessage()


def test_a_tree_that_was_changed_is_trained_anew(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "hierarchy" / "wallpaper.yaml").read_text(encoding="utf-8")
    changed = text.replace("{p4m: p4m, p4g: p4g}", "{p4m: p4g, p4g: p4m}")
    assert changed != text
    settings = SETTINGS.model_copy(update={"tree": str(tmp_path / "my.yaml"), "epochs": 1})
    (tmp_path / "my.yaml").write_text(text, encoding="utf-8")
    run(tmp_path, settings, ["finer-4"])
    card = tmp_path / "models" / "wallpaper" / "wallpaper.json"
    before = load_bundle(card)
    (tmp_path / "my.yaml").write_text(changed, encoding="utf-8")
    run(tmp_path, settings, ["finer-4"])
    after = load_bundle(card)
    assert after.tree.digest != before.tree.digest
    maps, numbers = torch.rand(2, MAP_CHANNELS, SIDE, SIDE), torch.rand(2, EVIDENCE)
    old, new = (b.nodes["finer-4"].log_probabilities(maps, numbers) for b in (before, after))
    torch.testing.assert_close(new, old.flip(1), msg="what was a p4m is a p4g now, and nothing else has changed")


def test_a_training_runs_once_at_a_time(tmp_path: Path) -> None:
    work = tmp_path / "work" / digest(SETTINGS, load_tree("wallpaper"))
    with only_one(work, "training"), pytest.raises(HierError, match="another training is writing to"):
        run(tmp_path)


def test_two_trainings_that_end_together_both_leave_their_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, card, save = load_tree("wallpaper"), tmp_path / "wallpaper.json", training.save_bundle

    def slowly(*given: Any, **options: Any) -> None:
        time.sleep(0.3)
        save(*given, **options)

    monkeypatch.setattr(training, "save_bundle", slowly)
    threads = [threading.Thread(target=put, args=(card, tree, name)) for name in NODES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(load_bundle(card).nodes) == set(NODES)


def put(card: Path, tree: Tree, name: str) -> None:
    node = NodeClassifier(NodeSettings(tree.choices(name), "test_convnext"))
    result = NodeResult(name, tree.level_of(name), {"valid/loss": 1.0})
    training._put(card, tree, SETTINGS, {name: node}, [result])


def test_a_model_that_cannot_be_kept_is_replaced_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "wallpaper.json").write_text("{}", encoding="utf-8")
    put(tmp_path / "wallpaper.json", load_tree("wallpaper"), "rotation")
    assert "cannot be read" in caplog.text
    paper = load_tree("paper")
    put(tmp_path / "wallpaper.json", paper, paper.root)
    assert "trained for another tree" in caplog.text
    assert list(load_bundle(tmp_path / "wallpaper.json").nodes) == [paper.root]


def test_evidence_that_is_not_finite_trains_and_logs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made_up: Make
) -> None:
    def spoilt(job: tuple[Part, str]) -> Arrays:
        maps, numbers, misfits = made_up(job)
        numbers[3, 0] = np.nan
        return maps, numbers, misfits

    monkeypatch.setattr(evidence, "make", spoilt)
    log = Log()
    with pytest.raises(EvidenceError, match=r"noise seed 1000000005000 index 3 \(pg, 64 px\)"):
        run(tmp_path, log=log)
    assert log.models == []
    assert not (tmp_path / "models").exists()


def test_a_training_that_diverges_saves_and_logs_nothing(tmp_path: Path) -> None:
    log = Log()
    with pytest.raises(TrainingError, match="training rotation diverged"):
        run(tmp_path, SETTINGS.model_copy(update={"tune_lr": 1e30}), log=log)
    assert log.models == []
    assert not (tmp_path / "models").exists()
    assert not list(tmp_path.glob("work/*/rotation.pt"))


def test_the_least_number_of_images_trains_every_node(tmp_path: Path) -> None:
    """A node of two groups has two images then; with one, normalisation over the batch fails."""
    least = {"count": 17, "epochs": 1, "backbone": "lcnet_050", "pasted": 0.35, "sizes": (64, 96)}
    result = run(tmp_path, SETTINGS.model_copy(update=least), ["finer-4"])
    assert np.isfinite(result.nodes[0].metrics["valid/loss"])
    assert result.nodes[0].metrics["images"] >= 2
