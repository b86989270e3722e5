"""Train the nodes of a tree: one backbone on all groups, then fine-tuned at every node."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from sklearn.metrics import confusion_matrix

from ...hierarchy import Tree, UnknownNameError, compile_tree, load_tree
from ...models.bundle import (
    FLAT,
    GATE,
    GATE_CHOICES,
    OUTSIDE,
    Bundle,
    BundleError,
    Card,
    NodeCard,
    load_bundle,
    save_bundle,
)
from ...models.node import NodeClassifier, NodeSettings
from ..tracking.runs import Store, Training
from .data import TrainingData, samples_of
from .fit import Metrics, Reporter, Samples, Schedule, fit, predict, score
from .settings import SettingsError, TrainSettings


@dataclass(frozen=True)
class NodeResult:
    """What came of one node: final metrics by name."""

    node: str
    level: str
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class TrainResult:
    """What came of a training: its nodes, and the card of the bundle they were put in."""

    nodes: Sequence[NodeResult]
    card: Path
    missing: Sequence[str] = field(default=())


def nodes_at(tree: Tree, level: str | None, nodes: Sequence[str]) -> list[str]:
    """The nodes meant by ``--level`` (``all`` adds the gate and the flat head) and ``--node``.

    UnknownNameError or SettingsError.
    """
    if taken := [name for name in tree.nodes if name in OUTSIDE]:
        raise SettingsError(f"tree {tree.name!r} has a node {taken[0]!r}: hier calls another so, give it another name")
    chosen: list[str] = []
    if level == "all":
        chosen = [*tree.nodes, *OUTSIDE]
    elif level is not None:
        if level not in tree.levels:
            raise UnknownNameError("level", level, [*tree.levels, "all"])
        chosen = list(tree.nodes_at(level))
    for name in nodes:
        if name not in (*tree.nodes, *OUTSIDE):
            raise UnknownNameError("node", name, [*tree.nodes, *OUTSIDE])
        chosen.append(name)
    if not chosen:
        raise SettingsError(f"nothing to train: give --level ({', '.join(tree.levels)} or all) or --node NAME")
    return list(dict.fromkeys(chosen))


def train(
    settings: TrainSettings,
    chosen: Sequence[str],
    root: Path,
    store: Store,
    device: str = "cpu",
    reporter: Reporter = Reporter(),  # noqa: B008
) -> TrainResult:
    """Train the nodes `chosen` (see `nodes_at`) and put them into the bundle ``root/models/<tree>``.

    What is finished is kept under ``root/work``, so that the same call resumes after a break.
    """
    tree = load_tree(settings.tree)
    plan = compile_tree(tree)
    work = root / "work" / settings.digest()
    work.mkdir(parents=True, exist_ok=True)
    (work / "settings.json").write_text(settings.model_dump_json(indent=1), encoding="utf-8")
    data = TrainingData(settings, root / "work" / "evidence", device, reporter.stage)
    results, trained = [], {}
    slug = "-".join(chosen) if len(chosen) < 3 else f"{len(chosen)}-nodes"
    resume = work / f"run-{crc32(' '.join(chosen).encode()):08x}.txt"
    with store.training(f"train {slug}", settings.model_dump(mode="json"), {"hier.tree": tree.name}, resume) as run:
        started = time.monotonic()

        def after(epoch: int, metrics: Metrics) -> None:
            run.epoch(epoch, metrics)
            reporter.epoch("all groups", epoch, settings.epochs, metrics)

        torch.manual_seed(settings.seed)  # weights begin alike, whatever was drawn before
        first = NodeClassifier(NodeSettings(plan.labels, settings.backbone), settings.pretrained)
        whole, held_out = samples_of(data.train(), plan), samples_of(data.valid(), plan)
        schedule = Schedule(settings.epochs, settings.lr, settings.batch, settings.seed)
        shared = fit(first.to(device), whole, held_out, schedule, work / "backbone.pt", after)
        run.metrics({"seconds": time.monotonic() - started, "images": float(len(whole))})
        for name in chosen:
            node, result = _train_node(name, tree, data, shared, settings, work, run, reporter)
            trained[name] = node
            results.append(result)
        card_path = root / "models" / tree.name / f"{tree.name}.json"
        missing = _put(card_path, tree, settings, trained, results)
        if not missing:
            run.model(tree.name, card_path)
    return TrainResult(results, card_path, missing)


def _train_node(
    name: str, tree: Tree, data: TrainingData, shared: NodeClassifier, settings: TrainSettings, work: Path,
    training: Training, reporter: Reporter,
) -> tuple[NodeClassifier, NodeResult]:  # fmt: skip
    plan = compile_tree(tree)
    started = time.monotonic()
    sets: dict[str, Samples] = {}
    choices: tuple[str, ...]
    if name == GATE:
        level, choices = "gate", GATE_CHOICES
        fitting, sets["valid"] = data.gate("train"), data.gate("valid")
    else:
        node_of = None if name == FLAT else name  # of all labels, or of one node
        level, choices = ("flat", plan.labels) if name == FLAT else (tree.level_of(name), tree.choices(name))
        fitting, sets["valid"] = (samples_of(e, plan, node_of) for e in (data.train(), data.valid()))
        sets |= {f"cross_{source}": samples_of(e, plan, node_of) for source, e in data.cross().items()}
    schedule = Schedule(settings.tune_epochs, settings.tune_lr, settings.batch, settings.seed + crc32(name.encode()))
    params = settings.model_dump(mode="json") | {"choices": len(choices)}
    with training.node(name, level, params, {}) as run:

        def after(epoch: int, metrics: Metrics) -> None:
            run.epoch(epoch, metrics)
            reporter.epoch(name, epoch, settings.tune_epochs, metrics)

        torch.manual_seed(schedule.seed)  # and heads, whether the backbone was trained just now or before a break
        node = shared
        if name != FLAT:  # which the backbone was trained with: nothing is left to tune
            node = fit(shared.for_choices(choices), fitting, sets["valid"], schedule, work / f"{name}.pt", after)
        metrics = {k: v for prefix, s in sets.items() for k, v in score(node, s, prefix).items()}
        metrics["images"], metrics["seconds"] = float(len(fitting)), time.monotonic() - started
        run.metrics(metrics)
        truth, found = sets["valid"].targets.numpy(), predict(node, sets["valid"]).argmax(1).numpy()
        run.confusion(confusion_matrix(truth, found, labels=np.arange(len(choices))), choices)
        one = work / "nodes" / f"{name}.json"
        card = _card(tree, settings, {name: (node, metrics)})
        save_bundle(one, card, {name: node})
        run.model(one)
    return node, NodeResult(name, level, metrics)


def _card(tree: Tree, settings: TrainSettings, nodes: Mapping[str, tuple[NodeClassifier, Mapping[str, float]]]) -> Card:
    kept = settings.model_dump(mode="json", exclude={"photos"}) | {"own_photographs": settings.photos is not None}
    return Card(
        hier=version("hier"),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=shlex.join(["hier", *(Path(a).name if "/" in a else a for a in sys.argv[1:])]),
        tree=tree.to_spec(),
        nodes={
            name: NodeCard(
                choices=node.settings.choices, backbone=node.settings.backbone, side=node.side, training=kept,
                figures={k: round(v, 5) for k, v in metrics.items()},
            )
            for name, (node, metrics) in nodes.items()
        },
    )  # fmt: skip


def _put(
    card_path: Path, tree: Tree, settings: TrainSettings, trained: Mapping[str, NodeClassifier],
    results: Sequence[NodeResult],
) -> list[str]:  # fmt: skip
    """Put trained nodes into the bundle at `card_path`, beside those already there; names what is missing."""
    before: Bundle | None = None
    if card_path.exists():
        try:
            before = load_bundle(card_path)
        except BundleError:
            before = None
    figures = {r.node: (trained[r.node], r.metrics) for r in results}
    card = _card(tree, settings, figures)
    nodes = dict(trained)
    if before is not None and before.tree.digest == tree.digest:
        for name, node in before.nodes.items():
            if name not in nodes:
                nodes[name] = node
                card.nodes[name] = before.card.nodes[name]
    save_bundle(card_path, card, nodes)
    return [name for name in (*tree.nodes, GATE) if name not in nodes]
