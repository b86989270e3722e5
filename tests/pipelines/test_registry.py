"""The registry: which version of a node is the champion, how trainings compare, how a tree is put together."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hier.datasets import SOURCES
from hier.hierarchy import GROUP_NAMES, Tree, UnknownNameError, load_tree
from hier.models.bundle import GATE, GATE_CHOICES, BundleError, Card, NodeCard, load_bundle, save_bundle
from hier.models.node import NodeClassifier, NodeSettings
from hier.pipelines.loading import load
from hier.pipelines.tracking.artifacts import node_model, tree_model
from hier.pipelines.tracking.compare import Entry, compare, ranked
from hier.pipelines.tracking.errors import StoreError
from hier.pipelines.tracking.page import Confusion
from hier.pipelines.tracking.promotion import promote
from hier.pipelines.tracking.registry import registered
from hier.pipelines.tracking.registry_files import local_model
from hier.pipelines.tracking.runs import Store, store
from hier.pipelines.training import calibrate
from hier.pipelines.training.assemble import Kept, Trial, assemble
from typer.main import get_command

from hier.cli.app import app, main

TINY = f"""
name: tiny
root:
  name: which
  level: group
  question: Which group?
  children: {{{", ".join(f"{g}: {g}" for g in GROUP_NAMES)}}}
"""
EXAMPLE = Path(__file__).parents[2] / "examples" / "atoms_p6.png"
FIGURES = {"valid/accuracy": 0.75, "valid/loss": 0.7, "images": 68.0, "seconds": 3.0}
Hier = Callable[..., Any]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree of one node."""
    file = tmp_path_factory.mktemp("trees") / "tiny.yaml"
    file.write_text(TINY, encoding="utf-8")
    return file


def card_of(folder: Path, tree: Tree, name: str, seed: int) -> Path:
    """A bundle of one node with random weights; the gate takes every image for a pattern."""
    torch.manual_seed(seed)
    choices = GATE_CHOICES if name == GATE else tree.choices(name)
    node = NodeClassifier(NodeSettings(choices, "test_convnext3"))
    if name == GATE:
        node.head[-1].bias.data = torch.tensor([-50.0, 50.0])
    inside = NodeCard(choices=choices, backbone="test_convnext3", side=node.side)
    save_bundle(
        folder / f"{name}.json", Card(hier="0", created="", tree=tree.to_spec(), nodes={name: inside}), {name: node}
    )
    return folder / f"{name}.json"


def train(where: Store, folder: Path, tree: Tree, figures: dict[str, dict[str, float]], seed: int = 0) -> None:
    """As `hier train` does, without the training: runs of the nodes in `figures`."""
    resume = folder / f"run-{seed}.txt"
    with where.training("train", {"seed": seed}, {"hier.tree": tree.name}, resume) as training:
        for name, of_node in figures.items():
            with training.node(name, "level", {"seed": seed}, {}) as run:
                run.metrics(FIGURES | of_node)
                run.confusion(np.array([[30, 10], [5, 55]]), ("no", "yes"))
                run.model(card_of(folder / str(seed), tree, name, seed))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, empty: Path, tiny: Path) -> Path:
    """A store with two trainings of `which`, the second one better, and one of the gate."""
    folder = tmp_path_factory.mktemp("trained")
    tree = load_tree(str(tiny))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        (folder / "mlruns").mkdir()
        shutil.copy(empty, folder / "mlruns" / "mlflow.db")
        where = store(folder / "mlruns")
        train(where, folder, tree, {"which": {"valid/accuracy": 0.5, "cross_atoms/accuracy": 0.9}, GATE: {}}, 1)
        train(where, folder, tree, {"which": {"valid/accuracy": 0.8, "cross_atoms/accuracy": 0.6}}, 2)
    return folder


@pytest.fixture
def where(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The store of `trained`, without champions."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    where = store(trained / "mlruns")
    client = where.connect().client
    for model in client.search_registered_models():
        if "champion" in model.aliases:
            client.delete_registered_model_alias(model.name, "champion")
    return where


@pytest.fixture
def hier(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Hier:
    """`hier ARGUMENTS` in a folder, within this process: exit code, output, errors."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(folder: Path, *arguments: object) -> tuple[int, str, str]:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["hier", *map(str, arguments)])
        capfd.readouterr()
        code: Any = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code
        return int(code or 0), *capfd.readouterr()

    return run


def aliases(where: Store, name: str) -> dict[str, int]:
    return registered(where.connect().client, name).aliases


def test_names_keep_trees_apart() -> None:
    assert (node_model("wallpaper", "finer-4"), tree_model("wallpaper")) == ("hier-finer-4", "hier-tree")
    assert (node_model("paper", "finer-4"), tree_model("paper")) == ("hier-paper-finer-4", "hier-tree-paper")


def test_promoting_moves_the_alias_and_nothing_else(where: Store, tiny: Path) -> None:
    tree = load_tree(str(tiny))
    assert aliases(where, "hier-tiny-which") == {"candidate": 2}
    (move,) = promote(where, tree, ["which"])
    assert (move.version, move.before) == (2, None)
    assert aliases(where, "hier-tiny-which") == {"candidate": 2, "champion": 2}
    (move,) = promote(where, tree, ["which"], 1)
    assert (move.version, move.before) == (1, 2)
    assert aliases(where, "hier-tiny-which") == {"candidate": 2, "champion": 1}
    assert {m.node: m.version for m in promote(where, tree, ["all"])} == {"which": 2, GATE: 1}
    assert aliases(where, "hier-tiny-periodic") == {"candidate": 1, "champion": 1}


def test_the_best_version_is_promoted_rather_than_the_newest(
    where: Store, trained: Path, tiny: Path, hier: Hier
) -> None:
    tree = load_tree(str(tiny))
    (move,) = promote(where, tree, ["which"], best=True, metric="cross_atoms/accuracy")
    assert (move.version, move.figure, move.better) == (1, 0.9, None)
    assert aliases(where, "hier-tiny-which")["champion"] == 1
    assert [m.version for m in promote(where, tree, ["which", GATE], best=True)] == [2, 1]
    with pytest.raises(StoreError, match="no version of hier-tiny-which has the metric 'valid/acuracy'"):
        promote(where, tree, ["which"], best=True, metric="valid/acuracy")
    with pytest.raises(StoreError, match="--version 1 and --best"):
        promote(where, tree, ["which"], 1, best=True)
    with pytest.raises(StoreError, match="node 'rotation' is not trained yet"):
        promote(where, load_tree("wallpaper"), ["rotation"], best=True)
    code, out, err = hier(trained, "promote", "which", "--tree", tiny, "--metric", "cross_atoms/accuracy")
    assert (code, "which: version 2 of" in out) == (0, True), "the newest, as asked"
    assert "which: version 1 is better, cross_atoms/accuracy 90.00 %: `hier promote which --tree" in err
    code, out, err = hier(trained, "promote", "all", "--best", "--tree", tiny)
    assert (code, err) == (0, "")
    assert "valid/accuracy 80.00 %" in out


def test_a_mistake_in_promoting_moves_nothing(where: Store, tiny: Path) -> None:
    tree = load_tree(str(tiny))
    with pytest.raises(UnknownNameError, match="unknown node 'wich': did you mean which"):
        promote(where, tree, ["wich"])
    with pytest.raises(StoreError, match=r"no version 7; there are 1, 2 \(candidate\)"):
        promote(where, tree, ["which"], 7)
    with pytest.raises(StoreError, match="one by one"):
        promote(where, tree, ["all"], 1)
    with pytest.raises(StoreError, match=r"node 'rotation' is not trained yet.*hier train --node rotation"):
        promote(where, load_tree("wallpaper"), ["rotation"])
    with pytest.raises(StoreError, match=r"not trained yet.*hier assemble"):
        promote(where, tree, ["which", "tree"])
    with pytest.raises(StoreError, match="no node of tree 'wallpaper'"):
        promote(where, load_tree("wallpaper"), ["all"])
    assert "champion" not in aliases(where, "hier-tiny-which")


def test_runs_are_compared_best_first(where: Store, trained: Path, tiny: Path, hier: Hier) -> None:
    tree = load_tree(str(tiny))
    promote(where, tree, ["which"], 1)
    entries = compare(where, tree, [])
    assert [e.version for e in entries["which"]] == [2, 1]
    assert [e.aliases for e in entries["which"]] == [("candidate",), ("champion",)]
    assert [e.version for e in compare(where, tree, ["which"], "cross_atoms/accuracy")["which"]] == [1, 2]
    code, out, _ = hier(trained, "compare", "which", "--tree", tiny)
    assert code == 0
    assert out.index("80.00") < out.index("50.00")
    assert max(map(len, out.splitlines())) <= 80
    assert "…" not in out
    code, out, _ = hier(trained, "compare", "--tree", tiny, "--json", "--metric", "valid/loss")
    told = json.loads(out)
    assert set(told) == {"which", GATE}
    assert told["which"][0]["metrics"]["valid/loss"] == 0.7
    code, _, err = hier(trained, "compare", "--tree", tiny, "--metric", "valid/acuracy")
    assert (code, "did you mean valid/accuracy" in err) == (2, True)
    code, _, err = hier(trained, "compare", "rotation")
    assert (code, "no training of nodes rotation" in err) == (2, True)


def test_a_page_compares_nodes_by_training(where: Store, trained: Path, tiny: Path, hier: Hier) -> None:
    promote(where, load_tree(str(tiny)), ["which"], 1)
    code, _, err = hier(trained, "compare", "--tree", tiny, "--html", "nodes.html")
    assert (code, err.strip()) == (0, "nodes.html is written")
    page = (trained / "nodes.html").read_text(encoding="utf-8")
    assert "http" not in page, "it needs nothing else"
    text = " ".join(re.sub(r"<[^>]*>", " ", page).split())
    assert "80.0 78.0 to 92.0" in text, "the accuracy and the bootstrap of 85 right images of 100"
    assert text.count("seed 1") >= 2
    assert "Which group?" in text
    assert "no 30 10 yes 5 55" in text
    assert "champion" in text
    (trained / "other.html").write_text("<p>mine</p>")
    code, _, err = hier(trained, "compare", "--tree", tiny, "--html", "other.html")
    assert (code, "--force" in err, (trained / "other.html").read_text()) == (2, True, "<p>mine</p>")
    code, _, err = hier(trained, "compare", "--tree", tiny, "--html", "nodes.txt")
    assert (code, "ends in .html" in err) == (2, True)


def test_the_interval_is_that_of_the_draws() -> None:
    low, high = Confusion(np.array([[40, 10], [10, 40]]), ("a", "b")).interval()
    assert (low, high) == pytest.approx((0.72, 0.88), abs=0.015)  # 0.8 plus and minus 1.96 standard errors


def test_less_is_better_where_it_is() -> None:
    def entry(begun: str, **metrics: float) -> Entry:
        return Entry("a", 1, (), {k.replace("_", "/"): v for k, v in metrics.items()}, {}, "FINISHED", begun, begun)

    good, bad = entry("1", valid_loss=0.1, valid_accuracy=0.5), entry("2", valid_loss=0.2, valid_accuracy=0.5)
    unknown = entry("3", valid_loss=float("nan"))
    for metric in ("valid/loss", "valid/accuracy"):
        assert [e.begun for e in ranked([unknown, bad, good], metric)] == ["1", "2", "3"]


@pytest.mark.slow
def test_assembling_takes_the_champions(
    where: Store, trained: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "SIZE", 64)  # px: quicker than what is promised
    tree, trial = load_tree(str(tiny)), Trial(17, 17, size=64)
    with pytest.raises(StoreError, match="no champion at which, periodic: `hier promote all --tree FILE`"):
        assemble(where, tree, "champion", tmp_path, trial)
    promote(where, tree, [GATE])
    with pytest.raises(StoreError, match="no champion at which: `hier promote which --tree FILE`"):
        assemble(where, tree, "champion", tmp_path, trial)
    assert not list(tmp_path.iterdir()), "nothing is written by half"
    promote(where, tree, ["which"], 1)
    made = assemble(where, tree, "champion", tmp_path / "out", trial)
    assert made.nodes == {"which": 1, GATE: 1}
    bundle, one = load_bundle(made.card), load_bundle(trained / "1" / "which.json")
    for key, value in one.nodes["which"].state_dict().items():
        torch.testing.assert_close(bundle.nodes["which"].state_dict()[key], value)
    assert bundle.card.training["versions"] == made.nodes
    assert set(made.figures) >= {f"test_{s}/{f}" for s in SOURCES for f in ("accuracy", "loss")}

    again = assemble(where, tree, "candidate", tmp_path / "out", trial, force=True)
    assert again.nodes == {"which": 2, GATE: 1}
    model = registered(where.connect().client, "hier-tree-tiny")
    assert (list(model.versions), model.aliases["champion"]) == ([made.version, again.version], again.version)
    client = where.connect().client
    client.log_metric(model.versions[again.version].run_id, "test/accuracy", 0.99)
    worse = assemble(where, tree, "champion", tmp_path / "out", trial)
    assert worse.kept == Kept(again.version, 0.99)
    assert worse.as_dict()["uri"] == f"models:/hier-tree-tiny/{worse.version}"
    assert aliases(where, "hier-tree-tiny") == {"champion": again.version, "candidate": worse.version}
    assert [m.version for m in promote(where, tree, ["tree"], best=True)] == [again.version]
    promote(where, tree, ["tree"], made.version)
    assert aliases(where, "hier-tree-tiny")["champion"] == made.version


def test_what_is_missing_is_named_with_its_remedy(where: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no champion at rotation, .*: `hier train --level all`, then `hier promote"):
        assemble(where, load_tree("wallpaper"), "champion", tmp_path, Trial(17))


def test_a_node_of_another_tree_is_refused(where: Store, tiny: Path, tmp_path: Path) -> None:
    promote(where, load_tree(str(tiny)), ["all"])
    other = tmp_path / "tiny.yaml"
    other.write_text(TINY.replace("p1: p1, p2: p2", "p2: p2, p1: p1"), encoding="utf-8")
    with pytest.raises(StoreError, match="'which' was trained for another tree"):
        assemble(where, load_tree(str(other)), "champion", tmp_path, Trial(17))


def test_models_are_fetched_by_alias_and_version(
    where: Store, trained: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(where, load_tree(str(tiny)), ["which"], 1)
    by_alias = local_model("models:/hier-tiny-which@champion", where.root)
    assert by_alias == local_model("models:/hier-tiny-which/1", where.root)
    assert by_alias != local_model("models:/hier-tiny-which@candidate", where.root)
    assert by_alias.read_text() == (trained / "1" / "which.json").read_text()
    assert local_model("some/folder") == Path("some/folder")
    monkeypatch.chdir(trained)
    with pytest.raises(BundleError, match="no classifier for periodic"):
        load("models:/hier-tiny-which@champion")


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("models:/hier-tiny-wich@champion", "unknown registered model 'hier-tiny-wich': did you mean hier-tiny-which"),
        ("models:/hier-tiny-which@best", r"no alias 'best'; its versions: 1, 2 \(candidate\)"),
        ("models:/hier-tiny-which/9", r"no version 9; its versions: 1, 2 \(candidate\)"),
        ("models:/hier-tiny-which", "give models:/NAME@ALIAS"),
    ],
)
def test_a_model_that_is_not_there_is_told_in_a_line(
    where: Store, trained: Path, uri: str, said: str, hier: Hier
) -> None:
    with pytest.raises(ValueError, match=said):
        local_model(uri, where.root)
    code, out, err = hier(trained, "predict", "a.png", "--model", uri)
    assert (code, out, err.strip().count("\n")) == (2, "", 0)


def test_without_a_store_every_command_says_how_to_begin(tmp_path: Path, hier: Hier, dead: str) -> None:
    commands = (
        ("compare",),
        ("promote", "all"),
        ("assemble",),
        ("predict", str(EXAMPLE), "--model", "models:/hier-tree/1"),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for command in commands:
            code, out, err = hier(tmp_path, *command)
            assert (code, out, err.strip().count("\n")) == (2, "", 0)
            assert "hier train" in err
        assert not list(tmp_path.iterdir())
        patch.setenv("MLFLOW_TRACKING_URI", dead)
        for command in commands:
            code, out, err = hier(tmp_path, *command)
            assert (code, out, err.strip().count("\n")) == (2, "", 0)
            assert "does not answer" in err


def test_the_page_shows_commands_that_there_are() -> None:
    page = (Path(__file__).parents[2] / "docs" / "mlflow.md").read_text(encoding="utf-8")
    lines = [line.partition("#")[0].strip() for line in page.splitlines() if line.startswith("hier ")]
    assert {line.split()[1] for line in lines} == {"train", "compare", "promote", "assemble", "predict"}
    commands = get_command(app)
    for line in lines:
        _, name, *arguments = shlex.split(line)
        commands.commands[name].make_context(name, arguments)  # complains of what it does not know
