"""Assemble: the chosen version of every node, joined to one classifier, calibrated, evaluated and registered."""

from __future__ import annotations

import hashlib
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from ...datasets import SOURCES, PatternDataset
from ...hierarchy import Tree
from ...hierarchy.locks import only_one
from ...models.bundle import Bundle, Card, load_bundle
from ...models.classifier import Classifier
from ..measuring.evaluate import Report, evaluate_patterns
from ..tracking.artifacts import TREE, tree_model
from ..tracking.errors import StoreError, shown, telling
from ..tracking.machine import origin
from ..tracking.promotion import TESTED, figures_of, tested
from ..tracking.records import Kind, Record
from ..tracking.registry import OPTIONAL, WHOLE, Registered, models_of, option, registered, reopen, training
from ..tracking.registry_files import fetch
from ..tracking.runs import Store, run_key
from ..tracking.sender import CANDIDATE, CHAMPION, Sender
from .calibrate import Split, calibrate, calibration_splits, save_calibrated

Stage = Callable[[str, int], Callable[[int], None]]


@dataclass(frozen=True)
class Trial:
    """What an assembled classifier is evaluated on: `count` patterns of each source; photographs, if any, of `valid`.

    `calibration` is the number of patterns in each split of `calibrate.calibration_splits`, none of them evaluated on.
    """

    count: int = 340
    calibration: int = 340
    seed: int = 0
    size: int = 256
    photos: Path | None = None


@dataclass(frozen=True)
class Kept:
    """A version that stays champion, and its `promotion.TESTED`."""

    version: int
    figure: float


@dataclass(frozen=True)
class Assembled:
    """A classifier, where its bundle is, what it was registered as, its nodes' versions, and its figures.

    `kept` is the better champion that it did not replace, if any.
    """

    card: Path
    model: str
    version: int
    nodes: dict[str, int]
    figures: dict[str, float]
    kept: Kept | None = None

    @property
    def tested(self) -> float:
        """Mean accuracy over the test sets."""
        return tested(self.figures)[TESTED]

    def as_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        place = f"@{CHAMPION}" if self.kept is None else f"/{self.version}"
        return asdict(self) | {"card": str(self.card), "uri": f"models:/{self.model}{place}"}


def assemble(
    store: Store, tree: Tree, alias: str, out: Path, trial: Trial, device: str = "cpu",
    stage: Stage = lambda name, total: lambda n: None, force: bool = False,
) -> Assembled:  # fmt: skip
    """Join the versions that bear `alias` to a bundle in `out`, and register it as the tree's champion.

    A better champion stays, unless `force`: then the new version is the tree's candidate.

    Raises StoreError when the store fails or a node has no version of that alias or one of another tree, HierError
    for a tree over other labels than the groups, or when another call writes to `out`.
    """
    with only_one(out, "hier assemble"):
        return _assemble(reopen(store), store, tree, alias, out, trial, device, stage, force)


def _assemble(
    sender: Sender, store: Store, tree: Tree, alias: str, out: Path, trial: Trial, device: str, stage: Stage,
    force: bool,
) -> Assembled:  # fmt: skip
    with telling(store.uri):
        chosen = chosen_versions(sender.client, tree, alias)
        cards = {node: fetch(model, number, store.root, sender) for node, (model, number) in chosen.items()}
    versions = {node: number for node, (_, number) in chosen.items()}
    card = out / f"{tree.name}.json"
    joined = join(tree, cards, versions)
    made = calibrate(joined, _splits(joined, trial, store, device, stage), device)
    reports = tried(Classifier(made.bundle, device), trial, stage)
    figures = _figures(reports)
    complete = made.bundle.card.model_copy(update={"figures": figures})
    picture = save_calibrated(replace(made, bundle=replace(made.bundle, card=complete)), card, force)
    params = {**asdict(trial), "photos": trial.photos is not None, "alias": alias}
    params |= {f"version/{node}": number for node, number in versions.items()}
    of = hashlib.sha256(repr((tree.digest, sorted(params.items()))).encode()).hexdigest()[:12]
    resume = store.root / "work" / f"assemble-{of}.txt"
    try:
        kept = None if force else _better(sender, tree, figures)
        bears = CHAMPION if kept is None else CANDIDATE
        number = _register(sender, tree, card, run_key(resume), params, reports, figures, picture, bears)
    except StoreError as error:
        raise StoreError(f"{error}. The bundle is in {out}; the same command again registers it") from error
    resume.unlink()  # the next one is another version
    return Assembled(card, tree_model(tree.name), number, versions, figures, kept)


def _better(sender: Sender, tree: Tree, figures: Mapping[str, float]) -> Kept | None:
    """The tree's champion, where it was better on its test images than these figures. StoreError."""
    with telling(sender.uri):
        model = registered(sender.client, tree_model(tree.name))
        champion = model.aliases.get(CHAMPION)
        its = None if champion is None else figures_of(sender.client, model, TESTED).get(champion)
    if champion is None or its is None or its <= tested(figures)[TESTED]:
        return None
    return Kept(champion, its)


def chosen_versions(client: Any, tree: Tree, alias: str) -> dict[str, tuple[Registered, int]]:
    """The version of every node that bears `alias`; StoreError names nodes without one, and the command that helps."""
    found = {node: registered(client, name) for node, name in models_of(tree).items() if node != WHOLE}
    chosen = {node: (model, model.aliases[alias]) for node, model in found.items() if alias in model.aliases}
    missing = [node for node in found if node not in chosen and node not in OPTIONAL]
    if missing:
        raise StoreError(_mending(alias, missing, found, tree))
    return chosen


def _mending(alias: str, missing: list[str], found: Mapping[str, Registered], tree: Tree) -> str:
    how, required = option(tree), len([node for node in found if node not in OPTIONAL])
    ready = [node for node in missing if CANDIDATE in found[node].aliases and alias == CHAMPION]
    untrained = [node for node in missing if not found[node].versions]
    other = [node for node in missing if node not in ready and node not in untrained]
    steps = []
    if untrained:
        nodes = " ".join(f"--node {node}" for node in untrained)
        steps.append(f"`hier train --level all{how}`" if len(untrained) == required else f"`hier train {nodes}{how}`")
    if ready or (untrained and alias == CHAMPION):
        what = "all" if len(missing) == required else " ".join(n for n in missing if n in ready or n in untrained)
        steps.append(f"`hier promote {what}{how}`")
    if other and alias == CHAMPION:
        steps += [f"`hier promote {node}{how} --version N` (there are {found[node]})" for node in other]
    elif other:
        steps.append(f"set the alias {alias!r} in MLflow's page (`hier ui`)")
    return f"no {alias} at {', '.join(missing)}: " + ", then ".join(steps)


def join(tree: Tree, cards: Mapping[str, Path], versions: Mapping[str, int]) -> Bundle:
    """One bundle of single nodes' bundles; StoreError for one that was trained for another tree."""
    nodes, inside = {}, {}
    for name, path in cards.items():
        one = load_bundle(path)
        if one.tree.digest != tree.digest or name not in one.nodes:
            raise StoreError(
                f"version {versions[name]} of node {name!r} was trained for another tree {tree.name!r}: "
                f"run {training(tree, name)}, then `hier promote {name}{option(tree)}`"
            )
        nodes[name], inside[name] = one.nodes[name], one.card.nodes[name]
    card = Card(
        hier=version_of("hier"),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=shlex.join(["hier", *(Path(a).name if "/" in a else a for a in sys.argv[1:])]),
        tree=tree.to_spec(),
        nodes=inside,
        training={"versions": dict(versions)},
    )
    return Bundle(tree, nodes, card)


def _splits(bundle: Bundle, trial: Trial, store: Store, device: str, stage: Stage) -> list[Split]:
    cache = store.root / "work" / "evidence"
    return calibration_splits(bundle, trial.calibration, trial.seed, trial.photos, None, cache, device, stage)


def tried(classifier: Classifier, trial: Trial, stage: Stage) -> dict[str, Report]:
    """A report for each source, on images that no training and no calibration sees."""
    reports = {}
    for source in SOURCES:
        dataset = PatternDataset(source, trial.seed, trial.size)  # type: ignore[arg-type]
        advance = stage(f"try on {source}", trial.count)
        reports[source] = evaluate_patterns(classifier, dataset, trial.count, trial.photos, "soft", advance)
    return reports


def _figures(reports: Mapping[str, Report]) -> dict[str, float]:
    figures: dict[str, float] = {}
    for source, report in reports.items():
        figures |= {f"test_{source}/accuracy": report.accuracy, f"test_{source}/loss": report.loss}
        figures[f"test_{source}/ece"] = report.ece
        figures[f"test_{source}/refused"] = report.refused / report.count
    return {name: float(f"{value:.6g}") for name, value in figures.items()}


def _register(
    sender: Sender, tree: Tree, card: Path, key: str, params: Mapping[str, object], reports: Mapping[str, Report],
    figures: Mapping[str, float], picture: Path, alias: str,
) -> int:  # fmt: skip
    """A run with figures, confusions, reliability and the model; the version that was registered. StoreError."""
    name = tree_model(tree.name)
    confusions: list[tuple[Kind, dict[str, Any]]] = [
        ("confusion", {"counts": r.confusion, "choices": r.labels}) for r in list(reports.values())[:1]
    ]
    records: list[tuple[Kind, dict[str, Any]]] = [
        ("start", {"name": f"assemble {tree.name}", "params": {k: str(v) for k, v in params.items()},
                   "tags": {**origin(), "hier.tree": tree.name, "hier.version": version_of("hier")}, "parent": None}),
        ("metrics", {"values": tested(figures), "step": None}),
        *confusions,
        ("file", {"path": str(picture.resolve())}),
        ("model", {"name": name, "code": TREE, "card": str(card.resolve()), "alias": alias}),
        ("end", {"status": "FINISHED"}),
    ]  # fmt: skip
    with telling(sender.uri):
        for kind, data in records:
            sender.send(Record(key, kind, data))
        run = sender.runs[key].id
        for number, version in registered(sender.client, name).versions.items():
            if version.run_id == run:
                return number
    raise StoreError(f"MLflow's store {shown(sender.uri)} did not register {name}")
