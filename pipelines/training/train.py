"""Train the nodes of a tree: one backbone on all groups, then fine-tuned at every node."""

from __future__ import annotations

import json
import logging
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
from sklearn.metrics import confusion_matrix

from ...hierarchy import Tree, UnknownNameError, load_tree
from ...hierarchy.files import sweep
from ...hierarchy.kept import make_room, renewed
from ...hierarchy.locks import locked, only_one
from ...models.bundle import (
    FLAT,
    GATE,
    OUTSIDE,
    Bundle,
    BundleError,
    Card,
    NodeCard,
    check_digest,
    check_replaceable,
    load_bundle,
    save_bundle,
)
from ...models.node import NodeClassifier
from ..generating.processes import together
from ..tracking.errors import shown
from ..tracking.machine import hardware
from ..tracking.runs import PHOTOGRAPHS, Store, Training
from .data import TrainingData, described, photographs, training_parts, validation_parts
from .endless import EndlessSteps
from .fit import Reporter, predict, score
from .on_ray import tune_on_ray
from .settings import SettingsError, TrainSettings, check_images, digest
from .steps import Steps

logger = logging.getLogger("hier")


@dataclass(frozen=True)
class NodeResult:
    """A trained node: final metrics by name."""

    node: str
    level: str
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class TrainResult:
    """A finished training: its nodes, the card of their bundle, and the nodes which that still lacks."""

    nodes: Sequence[NodeResult]
    card: Path
    missing: Sequence[str] = field(default=())


def nodes_at(tree: Tree, level: str | None, nodes: Sequence[str]) -> list[str]:
    """The nodes of a `level` (``all`` adds the gate and the flat head), and single `nodes`.

    UnknownNameError or SettingsError.
    """
    if taken := [name for name in tree.nodes if name in OUTSIDE]:
        raise SettingsError(f"tree {tree.name!r}: node name {taken[0]!r} is reserved, rename the node")
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
    on_cluster: bool = False,
    force: bool = False,
) -> TrainResult | None:
    """Train the nodes `chosen` (see `nodes_at`) and put them into the bundle ``root/models/<tree>``.

    What is finished is kept under ``root/work``: the same call resumes after an interruption. Processes that `torchrun`
    started train the backbone together and the nodes side by side; the first of them returns the result, the others
    None. With `on_cluster` the machines of the `cluster` that this process is connected to tune the nodes.

    With `force` a file of others where the bundle goes is replaced.

    HierError when another call runs the same training, SettingsError, EvidenceError or TrainingError when it cannot be
    made.
    """
    check_images(settings)
    settings = settings.on(device)
    tree = load_tree(settings.tree)
    check_replaceable(_card_path(root, tree), force)
    work = root / "work" / digest(settings, tree)
    logger.info("%d nodes on %s; what is finished is kept in %s", len(chosen), device, work)
    logger.info("recorded in %s", shown(store.uri))
    with together(device) as (processes, own):
        if processes.count > 1 and (settings.endless or on_cluster):
            other = "--endless" if settings.endless else "--on"
            raise SettingsError(f"{other} is for a training of one process: leave it out, or torchrun")
        reporter = reporter if processes.first else Reporter()
        data = TrainingData(settings, root / "work" / "evidence", own, reporter.stage, processes)
        what = settings, tree, data, work, processes, own, reporter
        steps = EndlessSteps(*what, tuple(chosen)) if settings.endless else Steps(*what)
        if not processes.first:
            steps.check(chosen)
            steps.side_by_side(chosen, steps.backbone())
            return None
        with only_one(work, "training"):
            for folder in (work, work / "nodes"):
                sweep(folder)
            with renewed(work / "settings.json") as file:
                file.write_text(json.dumps(settings.model_dump(mode="json"), indent=1), encoding="utf-8")
            return _train(steps, chosen, root, store, on_cluster, force)


def _train(steps: Steps, chosen: Sequence[str], root: Path, store: Store, on_cluster: bool, force: bool) -> TrainResult:
    steps.check(chosen)
    settings, tree, work = steps.settings, steps.tree, steps.work
    results, trained = [], {}
    slug = "-".join(chosen) if len(chosen) < 3 else f"{len(chosen)}-nodes"
    resume = work / f"run-{crc32(' '.join(chosen).encode()):08x}.txt"
    tags = {"hier.tree": tree.name, PHOTOGRAPHS: photographs(settings)}
    parts = {"training": training_parts(settings), "validation": validation_parts(settings)}
    sets = {context: described(settings, of) for context, of in parts.items()}
    machine = hardware(steps.device, steps.processes.count)
    with store.training(f"train {slug}", settings.model_dump(mode="json"), tags | machine, resume) as run:
        started = time.monotonic()
        for context, told in sets.items():
            run.dataset(*told, context)
        shared = steps.backbone(run.epoch)
        run.metrics({"seconds": time.monotonic() - started, "images": float(steps.images(FLAT))})
        if on_cluster:
            tune_on_ray(steps, chosen, root)
        else:
            steps.side_by_side(chosen, shared)
        for name in chosen:
            node, result = _train_node(steps, name, shared, run, tags, sets)
            trained[name] = node
            results.append(result)
        card_path = _card_path(root, tree)
        missing = _put(card_path, tree, settings, trained, results, force)
        if not missing:
            run.model(tree.name, card_path)
    return TrainResult(results, card_path, missing)


def _card_path(root: Path, tree: Tree) -> Path:
    return root / "models" / tree.name / f"{tree.name}.json"


def _train_node(
    steps: Steps, name: str, shared: NodeClassifier, training: Training, tags: Mapping[str, str],
    sets: Mapping[str, tuple[str, str, dict[str, object], int]],
) -> tuple[NodeClassifier, NodeResult]:  # fmt: skip
    settings, tree, started = steps.settings, steps.tree, time.monotonic()
    about = steps.about(name)
    params = settings.model_dump(mode="json") | {"choices": len(about.choices)}
    with training.node(name, about.level, params, tags) as run:
        for context, told in sets.items():
            run.dataset(*told, context)
        node = steps.tuned(name, shared, run.epoch)
        metrics = {k: v for prefix, s in about.sets.items() for k, v in score(node, s, prefix).items()}
        metrics["images"], metrics["seconds"] = float(steps.images(name)), time.monotonic() - started
        run.metrics(metrics)
        truth, found = about.sets["valid"].targets.numpy(), predict(node, about.sets["valid"]).argmax(1).numpy()
        run.confusion(confusion_matrix(truth, found, labels=np.arange(len(about.choices))), about.choices)
        one = steps.work / "nodes" / f"{name}.json"
        card = _card(tree, settings, {name: (node, metrics)})
        _make_room(one)
        save_bundle(one, card, {name: node})
        run.model(one)
    return node, NodeResult(name, about.level, metrics)


def _make_room(card: Path) -> None:
    """For a bundle in the place of an earlier one, which is removed where it is damaged."""
    weights = card.with_suffix(".safetensors")
    make_room(card)
    make_room(weights)
    if card.exists() or weights.exists():
        try:
            check_digest(card)
        except BundleError as error:
            logger.warning("%s is made again: %s", card, error)
            card.unlink(missing_ok=True)
            weights.unlink(missing_ok=True)


def _card(tree: Tree, settings: TrainSettings, nodes: Mapping[str, tuple[NodeClassifier, Mapping[str, float]]]) -> Card:
    kept = settings.model_dump(mode="json", exclude={"photos"}) | {"own_photographs": settings.photos is not None}
    return Card(
        hier=version("hier"),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=shlex.join(["hier", *(Path(a).name if "/" in a else a for a in sys.argv[1:])]),
        tree=tree.to_spec(),
        nodes={
            name: NodeCard(
                choices=node.settings.choices, backbone=node.settings.backbone, side=node.side,
                below=node.settings.below, training=kept,
                figures={k: round(v, 5) for k, v in metrics.items()},
            )
            for name, (node, metrics) in nodes.items()
        },
    )  # fmt: skip


def _put(
    card_path: Path, tree: Tree, settings: TrainSettings, trained: Mapping[str, NodeClassifier],
    results: Sequence[NodeResult], force: bool = False,
) -> list[str]:  # fmt: skip
    """Put trained nodes into the bundle at `card_path`, beside those already there; returns the missing nodes."""
    card_path.parent.mkdir(parents=True, exist_ok=True)
    with locked(card_path.with_name(f".{card_path.stem}.lock"), wait=True):  # another training may add nodes now
        card = _card(tree, settings, {r.node: (trained[r.node], r.metrics) for r in results})
        nodes = dict(trained)
        if before := _usable(card_path, tree):
            for name in before.nodes.keys() - nodes.keys():
                nodes[name], card.nodes[name] = before.nodes[name], before.card.nodes[name]
        save_bundle(card_path, card, nodes, force=force)
    return [name for name in (*tree.nodes, GATE) if name not in nodes]


def _usable(card_path: Path, tree: Tree) -> Bundle | None:
    """The bundle at `card_path`, if trained nodes can be put beside its own; a warning says why they cannot."""
    if not card_path.exists():
        return None
    try:
        before = load_bundle(card_path)
    except BundleError as error:
        logger.warning("the model at %s is replaced, since it cannot be read: %s", card_path, error)
        return None
    if before.tree.digest != tree.digest:
        logger.warning("the model at %s is replaced, since it was trained for another tree", card_path)
        return None
    return before
