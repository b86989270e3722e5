"""Trainings through the store: what MLflow shows, what a break leaves, what a dead store costs."""

from __future__ import annotations

import getpass
import json
import logging
import os
import re
import shutil
import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hier.hierarchy import load_tree
from hier.models.bundle import GATE, GATE_CHOICES, Card, NodeCard, load_bundle, save_bundle
from hier.models.classifier import Classifier
from hier.models.evidence.representation import SymmetryEvidence
from hier.models.node import NodeClassifier, NodeSettings
from hier.pipelines.tracking import database
from hier.pipelines.tracking import runs as tracking
from hier.pipelines.tracking.artifacts import example
from hier.pipelines.tracking.errors import StoreError, reason, shown
from hier.pipelines.tracking.machine import hardware
from hier.pipelines.tracking.promotion import promote
from hier.pipelines.tracking.registry import reopen
from hier.pipelines.tracking.registry_files import local_model
from hier.pipelines.tracking.runs import Store, send_pending, store, titled
from hier.pipelines.tracking.ui import page, prepare, serve_ui, serving

NODES = {"rotation": "rotation", "reflection-1": "reflection", "finer-4": "finer"}
EPOCHS = 3


@pytest.fixture(scope="session")
def cards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Bundles of single nodes, with random weights."""
    folder, tree, made = tmp_path_factory.mktemp("nodes"), load_tree("wallpaper"), {}
    for name in NODES:
        torch.manual_seed(len(name))
        node = NodeClassifier(NodeSettings(tree.choices(name), "test_convnext3"))
        card = NodeCard(choices=tree.choices(name), backbone="test_convnext3", side=node.side)
        made[name] = folder / f"{name}.json"
        save_bundle(made[name], Card(hier="0", created="today", tree=tree.to_spec(), nodes={name: card}), {name: node})
    return made


class Stop(Exception):
    """Something that goes wrong in the middle."""


def train(
    where: Store, cards: dict[str, Path], stop: tuple[str, int] | None = None, error: type[BaseException] = Stop,
    before: Callable[[str], None] = lambda name: None,
) -> None:  # fmt: skip
    """As `hier train` does, without the training; `stop` raises `error` at that node and epoch."""
    params = {"seed": 0, "sizes": (64, 128), "photos": None}
    with where.training("train 3-nodes", params, {"hier.tree": "wallpaper"}, where.root / "work" / "run.txt") as run:
        run.metrics({"seconds": 1.0})
        for name, level in NODES.items():
            before(name)
            choices = load_tree("wallpaper").choices(name)
            with run.node(name, level, params | {"choices": len(choices)}, {}) as node:
                for epoch in range(EPOCHS):
                    if (name, epoch) == stop:
                        raise error
                    node.epoch(epoch, {"train/loss": 1 / (epoch + 1), "valid/accuracy": epoch / EPOCHS})
                node.metrics({"valid/accuracy": (EPOCHS - 1) / EPOCHS, "cross_atoms/accuracy": 0.5})
                node.confusion(np.eye(len(choices), dtype=int), choices)
                node.model(cards[name])


def runs(where: Store) -> tuple[Any, list[Any], dict[str, Any]]:
    """The client, the runs of trainings, and those of nodes by node."""
    sender = where.connect()
    found = sender.client.search_runs([sender.experiment])
    parents = [r for r in found if "mlflow.parentRunId" not in r.data.tags]
    nodes = [r for r in found if "mlflow.parentRunId" in r.data.tags]
    assert len({r.info.run_name for r in nodes}) == len(nodes), "a node's run is there twice"
    return sender.client, parents, {r.data.tags["hier.node"]: r for r in nodes}


def check_complete(where: Store) -> None:
    client, (parent,), nodes = runs(where)
    assert parent.info.status == "FINISHED"
    assert set(nodes) == set(NODES)
    for run in nodes.values():
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.info.status == "FINISHED"
        curve = client.get_metric_history(run.info.run_id, "train/loss")
        assert [(p.step, round(p.value, 6)) for p in curve] == [(e, round(1 / (e + 1), 6)) for e in range(EPOCHS)]
        assert len(client.get_metric_history(run.info.run_id, "valid/accuracy")) == EPOCHS
        assert run.data.metrics["cross_atoms/accuracy"] == 0.5
        assert {a.path for a in client.list_artifacts(run.info.run_id)} == {"confusion.json", "confusion.png"}
    for name in NODES:
        (version,) = client.search_model_versions(f"name = 'hier-{name}'")
        assert client.get_model_version_by_alias(f"hier-{name}", "candidate").version == version.version
        assert version.run_id == nodes[name].info.run_id


def test_a_training_is_one_run_with_a_comparable_run_for_each_node(root: Path, cards: dict[str, Path]) -> None:
    where = store(root)
    train(where, cards)
    check_complete(where)
    client, (parent,), nodes = runs(where)
    assert parent.data.params == {"seed": "0", "sizes": "64, 128", "photos": "None"}
    for what in ("params", "metrics"):
        assert len({tuple(sorted(getattr(run.data, what))) for run in nodes.values()}) == 1
    for name, level in NODES.items():
        run = nodes[name]
        assert (run.data.tags["hier.node"], run.data.tags["hier.level"]) == (name, level)
        assert (run.data.params["node"], run.data.params["level"]) == (name, level)
        assert not any(name in metric for metric in run.data.metrics)
    table = json.loads(Path(client.download_artifacts(nodes["finer-4"].info.run_id, "confusion.json")).read_text())
    assert table == {"counts": [[1, 0], [0, 1]], "choices": ["p4m", "p4g"]}
    assert (root / "artifacts").is_dir()
    assert not where.pending
    node = nodes["rotation"]
    assert node.info.run_name == "rotation · seed 0"
    assert node.data.tags["mlflow.user"] == getpass.getuser()
    assert re.fullmatch("[0-9a-f]{40}|", node.data.tags.get("mlflow.source.git.commit", "")), (
        "known in a checkout alone"
    )
    (version,) = client.search_model_versions("name = 'hier-rotation'")
    assert version.description == "rotation · seed 0: valid 66.67 %, atoms 50.00 %"
    assert {k: version.tags[k] for k in ("cross_atoms/accuracy", "seed")} == {
        "cross_atoms/accuracy": "0.5",
        "seed": "0",
    }
    assert (
        "Node rotation (level rotation) of the tree wallpaper" in client.get_registered_model(version.name).description
    )
    tags = client.get_experiment(where.connect().experiment).tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"


def test_a_run_says_what_it_read_and_what_it_ran_on(root: Path) -> None:
    where, read = store(root), ("atoms+noise", "0123456789ab", {"source": ["atoms", "noise"], "seed": 3}, 3400)
    for _ in range(2):  # resumed, it is still one input
        with where.training("train x", {}, hardware("cpu", 2), root / "work" / "run.txt") as run:
            run.dataset(*read, "training")
            run.epoch(0, {"train/loss": 1.0, "train/images_per_second": 90.0})
    client, (found,), _ = runs(where)
    (used,) = client.get_run(found.info.run_id).inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == read[:2]
    assert json.loads(used.dataset.source) == read[2]
    assert json.loads(used.dataset.profile) == {"count": 3400}
    assert {tag.key: tag.value for tag in used.tags} == {"mlflow.data.context": "training"}
    assert found.data.tags["hier.processes"] == "2"
    assert int(found.data.tags["hier.cores"]) >= 1
    assert found.data.metrics["train/images_per_second"] == 90
    assert 0 < found.data.metrics["system/system_memory_usage_percentage"] <= 100


def test_the_logged_model_answers_as_the_node_does(
    root: Path, cards: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    where = store(root)
    train(where, cards)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", where.uri)
    images = np.random.default_rng(3).random((2, 3, 64, 64), dtype=np.float32)
    images[0] = example()[0]
    node = load_bundle(cards["rotation"]).nodes["rotation"]
    with torch.inference_mode():
        evidence = SymmetryEvidence()(torch.from_numpy(images))
        expected = node.log_probabilities(evidence.maps, evidence.numbers).exp().numpy()
    model = mlflow.pyfunc.load_model("models:/hier-rotation@candidate")
    found = model.predict(images)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
    assert model.metadata.get_input_schema().inputs[0].shape == (-1, -1, -1, -1)
    np.testing.assert_allclose(model.input_example, example())
    needed = Path(mlflow.artifacts.download_artifacts("models:/hier-rotation@candidate/requirements.txt")).read_text()
    assert "torch==" in needed
    assert not [line for line in needed.splitlines() if line.startswith("hier") or "+" in line]
    assert model.metadata.metadata == {"hier": version("hier")}


def test_the_logged_classifier_answers_as_the_tree_does(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    tree = load_tree("wallpaper")
    nodes = {name: NodeClassifier(NodeSettings(tree.choices(name), "test_convnext3")) for name in tree.nodes}
    nodes[GATE] = NodeClassifier(NodeSettings(GATE_CHOICES, "test_convnext3"))
    inside = {
        name: NodeCard(choices=node.settings.choices, backbone="test_convnext3", side=node.side)
        for name, node in nodes.items()
    }
    card = tmp_path / "wallpaper.json"
    save_bundle(card, Card(hier="0", created="today", tree=tree.to_spec(), nodes=inside), nodes)
    where = store(root)
    with where.training("train", {}, {}, tmp_path / "run.txt") as run:
        run.model("wallpaper", card)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", where.uri)
    model = mlflow.pyfunc.load_model("models:/hier-tree@candidate")
    found = model.predict(pd.DataFrame({"image": [example()[0, 0], example()[0].transpose(1, 2, 0)]}))
    expected = Classifier.load(card).answer(torch.from_numpy(example())).log_probabilities[0].exp()
    for groups in found["groups"]:
        given = np.array(list(groups.values()))  # they sum to less than one when the gate says no
        np.testing.assert_allclose(given / given.sum(), expected, atol=1e-5)
        assert tuple(groups) == tree.labels
    assert list(found.columns) == [c.name for c in model.metadata.get_output_schema().inputs]
    assert [c.name for c in model.metadata.get_input_schema().inputs] == ["image"]
    shown = model.predict(model.input_example)
    assert shown["groups"][0].keys() == found["groups"][0].keys()


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt, "KILLED"), (Stop, "FAILED")])
def test_a_training_goes_on_in_the_runs_where_it_stopped(
    root: Path, cards: dict[str, Path], error: type[BaseException], status: str
) -> None:
    where = store(root)
    with pytest.raises(error):
        train(where, cards, ("reflection-1", 2), error)
    _, (before,), nodes = runs(where)
    assert before.info.status == nodes["reflection-1"].info.status == status
    assert nodes["rotation"].info.status == "FINISHED"
    train(where, cards)
    check_complete(where)
    _, (after,), again = runs(where)
    assert after.info.run_id == before.info.run_id
    assert again["reflection-1"].info.run_id == nodes["reflection-1"].info.run_id
    assert again["rotation"].info.end_time == nodes["rotation"].info.end_time


def test_a_dead_server_costs_nothing_but_a_line(
    root: Path, cards: dict[str, Path], dead: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", dead.replace("//", "//me:secret@"))
    started = time.monotonic()
    with caplog.at_level(logging.WARNING, "hier"):
        train(store(root), cards)
    assert time.monotonic() - started < 15
    (line,) = [r.getMessage() for r in caplog.records if r.name == "hier"]
    assert dead.removeprefix("http://") in line
    assert "secret" not in line
    assert "pending" in line
    with pytest.raises(StoreError, match="cannot be used"):
        send_pending(store(root))
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    where = store(root)
    assert send_pending(where) > 20
    assert send_pending(where) == 0
    check_complete(where)
    train(where, cards)
    check_complete(where)


@pytest.mark.slow
def test_a_server_that_hangs_costs_ten_seconds_at_most_and_is_told_later(
    root: Path, cards: dict[str, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    where = store(root)
    with socket.socket() as silent:  # connections are accepted, and nothing is ever said
        silent.bind(("127.0.0.1", 0))
        silent.listen(50)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr("hier.pipelines.tracking.runs.RETRY", 0.0)
        started = time.monotonic()
        train(store(root), cards)
        assert time.monotonic() - started < 10
        (line,) = [r.getMessage() for r in caplog.records if r.name == "hier"]
        assert "does not answer" in line
        for command in (
            lambda: promote(store(root), load_tree("wallpaper"), ["all"]), lambda: prepare(store(root)),
            lambda: local_model("models:/hier-tree@champion", root),
        ):  # fmt: skip
            started = time.monotonic()
            with pytest.raises(StoreError, match="does not answer"):
                command()
            assert time.monotonic() - started < 10
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert send_pending(where) > 20
    check_complete(where)


def test_a_store_that_vanishes_is_told_later(
    root: Path, cards: dict[str, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    where = store(root)
    original, calls = tracking.Sender.send, 0

    def failing(self: Any, record: Any) -> None:
        nonlocal calls
        calls += 1
        if 8 <= calls < 12:
            raise ConnectionError("the cable")
        original(self, record)

    monkeypatch.setattr(tracking.Sender, "send", failing)
    monkeypatch.setattr(tracking, "RETRY", 0.0)
    train(where, cards)
    check_complete(where)
    said = [r.getMessage() for r in caplog.records if r.name == "hier"]
    assert "the cable" in said[0]
    assert "sent" in said[-1]
    assert not where.pending


def test_a_locked_database_does_not_stop_a_training(
    root: Path, cards: dict[str, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(database, "PATIENCE", 0.2)
    where = store(root)
    with sqlite3.connect(root / "mlflow.db", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        train(where, cards)
        other.execute("ROLLBACK")
    other.close()
    assert "locked" in caplog.text
    train(where, cards)
    check_complete(where)


def test_a_file_that_is_no_database_is_reported(root: Path) -> None:
    (root / "mlflow.db").write_text("not a database, but long enough to be read as the header of one" * 20)
    with pytest.raises(StoreError, match="not a database"):
        store(root).connect()


def test_the_users_address_wins(root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert store(root).uri == f"sqlite:///{root.resolve().as_posix()}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://example.invalid")
    assert store(root).uri == "http://example.invalid"


@pytest.fixture
def server(tmp_path: Path, root: Path, free_port: int) -> Iterator[str]:
    """A server on a store of its own."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    shutil.copy(root / "mlflow.db", folder / "mlflow.db")
    with serving(store(folder), "127.0.0.1", free_port) as (_, address):
        yield address


def test_what_a_dead_server_missed_is_sent_to_one_that_lives(
    root: Path, cards: dict[str, Path], dead: str, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", dead)
    train(store(root), cards)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    where = store(root)
    send_pending(where)
    check_complete(where)
    monkeypatch.setattr("webbrowser.open", lambda address: pytest.fail("--no-browser opens none"))
    serve_ui(where, browser=False)


@pytest.mark.slow
def test_a_server_that_vanishes_in_the_middle_is_told_later(
    root: Path,
    cards: dict[str, Path],
    free_port: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    behind = store(root)
    with serving(behind, "127.0.0.1", free_port) as (process, address):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        where = store(root.parent / "trained-here")

        def vanish(name: str) -> None:
            if name == "reflection-1":
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

        train(where, cards, before=vanish)
    assert where.pending, "what the server missed is kept here"
    (line,) = {r.getMessage() for r in caplog.records if r.name == "hier"}
    assert str(where.pending.folder) in line
    assert "`hier train`" in line
    with serving(behind, "127.0.0.1", free_port):
        reopen(where)
        assert not where.pending
        check_complete(where)


def test_the_page_needs_trainings_and_a_free_port(root: Path, cards: dict[str, Path], free_port: int) -> None:
    where = store(root)
    with pytest.raises(StoreError, match="nothing is recorded"):
        prepare(where)
    with pytest.raises(StoreError, match="no trainings in"):
        serve_ui(store(root / "nowhere"), port=free_port)
    with socket.socket() as other:
        other.bind(("127.0.0.1", free_port))
        other.listen()
        with pytest.raises(StoreError, match=f"{free_port}.*hier ui --port {free_port + 1}"):
            serve_ui(where, port=free_port)


def test_errors_are_told_in_a_line_without_passwords() -> None:
    dead = "API request to http://me:pw@x/api failed with exception Pool(Errno: [Errno 111] Connection refused'))"
    assert reason(OSError(dead)) == "it does not answer (connection refused)"
    assert shown("postgresql://me:pw@host/db is\nlocked") == "postgresql://***@host/db is"
    assert page("http://here:1/", "/experiments/7") == "http://here:1/#/experiments/7"


def test_connecting_makes_the_store_and_leaves_the_environment_alone(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    sender = store(empty.parent).connect()
    experiment = sender.client.get_experiment(sender.experiment)
    assert experiment.name == "hier"
    assert experiment.artifact_location == (empty.parent / "artifacts").resolve().as_uri()
    assert not {"MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID"} & set(os.environ)


def test_a_store_in_a_folder_is_refused_in_one_whole_line(tmp_path: Path) -> None:
    (tmp_path / "mlruns").mkdir()
    with pytest.raises(StoreError, match=r"sqlite:///mlruns/mlflow.db, or MLFLOW_ALLOW_FILE_STORE=true$"):
        Store(tmp_path / "mlruns", str(tmp_path / "mlruns")).connect()


def test_runs_are_named_by_what_tells_them_apart() -> None:
    params = {"backbone": "lcnet_050", "count": 10_000, "seed": 3}
    assert titled("rotation", params) == "rotation · lcnet_050 · 10k · seed 3"
    assert titled("rotation", {"count": 340}) == "rotation · 340"
