"""A real training through the command line, tiny: interrupted, resumed, used."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hier.hierarchy import NodeSpec, Tree, TreeSpec, load_tree
from hier.models.bundle import FLAT, GATE, load_bundle
from hier.pipelines.training.checkpoints import load_checkpoint
from hier.pipelines.training.settings import SettingsError
from hier.pipelines.training.train import nodes_at

from hier.cli.app import main

SETTINGS = """
source: [atoms]
photos: pictures
count: 68
valid_count: 17
cross_count: 17
sizes: [64]
augment: false
near_misses: 0
epochs: 2
tune_epochs: 2
batch: 16
seed: 5
"""
TRAIN = ("train", "--config", "tiny.yaml", "--device", "cpu", "--json")
Hier = Callable[..., Any]


@pytest.fixture
def folder(with_pictures: Path) -> Path:
    """A folder to train in, with a few pictures."""
    (with_pictures / "tiny.yaml").write_text(SETTINGS, encoding="utf-8")
    return with_pictures


@pytest.fixture
def hier(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Hier:
    """`hier ARGUMENTS` in a folder, within this process: its JSON."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def run(folder: Path, *arguments: str) -> Any:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["hier", *arguments])
        capfd.readouterr()
        main_exit = None
        try:
            main()
        except SystemExit as stop:
            main_exit = stop.code
        out, err = capfd.readouterr()
        assert not main_exit, err
        return json.loads(out)

    return run


def weights(folder: Path) -> dict[str, torch.Tensor]:
    bundle = load_bundle(folder / "mlruns" / "models" / "wallpaper")
    return {f"{name}/{key}": v for name, node in bundle.nodes.items() for key, v in node.state_dict().items()}


def interrupted(folder: Path, pattern: str, *arguments: str) -> str:
    """Ctrl-C, to all processes as a terminal sends it, once a file of that pattern is there; what was said."""
    # one thread, as in this process: more of them add up in another order
    environment = os.environ | {"NO_COLOR": "1", "TERM": "dumb", "OMP_NUM_THREADS": "1"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    process = subprocess.Popen(
        [sys.executable, "-c", "from hier.cli.app import main; main()", *arguments],
        cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 200
    while process.poll() is None and not list(folder.glob(pattern)):
        assert time.monotonic() < deadline, "nothing was written"
        time.sleep(0.02)
    assert process.poll() is None, process.communicate()
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    return err


@pytest.mark.slow
def test_an_interrupted_training_ends_like_one_that_was_not(folder: Path, hier: Hier) -> None:
    for pattern in ("mlruns/work/evidence/*/*.safetensors", "mlruns/work/*/backbone.pt"):
        err = interrupted(folder, pattern, *TRAIN, "--level", "rotation")
        assert "hier: interrupted" in err
        assert "Traceback" not in err
        assert not (folder / "mlruns" / "models").exists(), "nothing is written half"
    resumed = hier(folder, *TRAIN, "--level", "rotation")
    assert list(resumed["nodes"]) == ["rotation"]
    assert GATE in resumed["missing"]
    one = weights(folder)

    (folder / "mlruns").rename(folder / "before")
    whole = hier(folder, *TRAIN, "--level", "rotation")
    two = weights(folder)
    assert one.keys() == two.keys()
    for key in one:
        torch.testing.assert_close(two[key], one[key], atol=1e-3, rtol=1e-3)
    for key, value in whole["nodes"]["rotation"].items():
        if key != "seconds":
            assert resumed["nodes"]["rotation"][key] == pytest.approx(value, abs=1e-3), key


@pytest.mark.slow
def test_the_flat_head_is_the_backbone_with_its_own(folder: Path, hier: Hier) -> None:
    """It is what all nodes are tuned from, kept as it was."""
    hier(folder, *TRAIN, "--node", FLAT)
    (checkpoint,) = (folder / "mlruns" / "work").glob("*/backbone.pt")
    state = load_checkpoint(checkpoint)
    assert state is not None
    want = state["node"]
    (flat,) = load_bundle(folder / "mlruns" / "models" / "wallpaper").nodes.values()
    assert flat.settings.choices == load_tree("wallpaper").labels
    for key, value in flat.state_dict().items():
        torch.testing.assert_close(value, want[key], atol=2e-3, rtol=2e-3)


def test_all_means_the_gate_and_the_flat_head_too() -> None:
    tree = load_tree("wallpaper")
    assert nodes_at(tree, "all", []) == [*tree.nodes, GATE, FLAT]
    child = NodeSpec(name=FLAT, level="two", children={"yes": "a", "no": "b"})
    taken = Tree.from_spec(TreeSpec(name="t", root=NodeSpec(name="r", level="one", children={"x": child, "y": "c"})))
    with pytest.raises(SettingsError, match="node name 'flat' is reserved"):
        nodes_at(taken, "all", [])


@pytest.mark.slow
def test_levels_trained_one_by_one_join_to_a_model_that_answers(folder: Path, hier: Hier) -> None:
    told = hier(folder, *TRAIN, "--level", "rotation")
    assert {"valid/accuracy", "valid/loss", "cross_atoms/accuracy"} <= set(told["nodes"]["rotation"])
    assert {"finer-4", GATE} <= set(told["missing"])
    told = hier(folder, *TRAIN, "--level", "reflection", "--node", "finer-4")
    assert "rotation" not in told["missing"]
    told = hier(folder, *TRAIN, "--level", "finer", "--node", GATE)
    assert told["missing"] == []
    card = load_bundle(Path(told["card"])).card
    assert set(card.nodes) == {*load_tree("wallpaper").nodes, GATE}
    assert all(node.training["source"] == ["atoms"] for node in card.nodes.values())
    assert str(folder) not in card.model_dump_json(), "a card does not tell whose machine it was"
    options = ("--model", "mlruns/models/wallpaper", "--source", "atoms", "--size", "64", "--count", "17", "--json")
    report = hier(folder, "evaluate", *options, "--photos", "pictures", "--device", "cpu")
    assert report["count"] == 17


def test_a_tree_of_other_labels_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tree = "{name: few, root: {name: top, level: top, children: {a: p4, b: hexagons}}}"
    Path("few.yaml").write_text(tree, encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["hier", "train", "--tree", "few.yaml", "--level", "top"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "has hexagons and lacks p1, p2," in capsys.readouterr().err.replace("\n", " ")
    assert [p.name for p in tmp_path.iterdir()] == ["few.yaml"]
