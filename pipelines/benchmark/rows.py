"""One row of a benchmark: train every network of a system, put their answers together, measure."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, NonNegativeFloat, TypeAdapter
from sklearn.metrics import confusion_matrix
from torch import Tensor

from ...datasets.fresh import FreshPhotos
from ...hierarchy import GROUP_NAMES, CompiledTree, compile_tree, load_tree
from ...hierarchy.kept import keep_text, kept_text, make_room
from ...models.node import NodeClassifier, NodeSettings
from ...models.systems import BACKBONES, LOSSES, MAPS, Part, Sizes, System, assembled, build, parts_of
from ...models.systems.table import timm_name
from ..training.checkpoints import save_checkpoint
from ..training.fit import Reporter, Samples, fit
from ..training.fit import predict as predict_maps
from ..training.loop import Metrics, Schedule
from .data import SETS, ImageSet, evidence_of
from .fit import answers_of, fit_network, new, stored
from .settings import Preset

Report = Callable[[str, int, int, Metrics], None]


class Row(BaseModel):
    """The results of one system on `count` training images.

    `figures`: ``<set>/accuracy`` and ``<set>/loss`` on train, valid, cross_atoms and cross_noise; `confusion` the
    same sets by true class (rows) and answer. `seconds` of training, evidence included; `images_seen` by all its
    networks together.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    system: str
    route: str
    about: str
    network: str
    classes: tuple[str, ...]
    count: int
    images_seen: int
    seconds: float
    parameters: int
    device: str
    figures: dict[str, float]
    confusion: dict[str, list[list[int]]]

    @property
    def key(self) -> str:
        """Name of the row, with the number of images where it is a point of a learning curve."""
        return f"{self.system}@{self.count}"


@dataclass
class Bench:
    """What all rows have in common."""

    preset: Preset
    sets: Mapping[str, ImageSet]
    device: str
    reporter: Reporter
    fresh: FreshPhotos | None = None

    @property
    def sizes(self) -> Sizes:
        """How large networks are built."""
        p = self.preset
        return Sizes(p.size, p.width, p.networks, p.pretrained)

    def places(self, plan: CompiledTree) -> Tensor:
        """The groups (17,) as indices into the tree's list."""
        return torch.tensor([plan.labels.index(name) for name in GROUP_NAMES])

    def targets(self, name: str, plan: CompiledTree) -> Tensor:
        """Labels (N,) of a set, as indices into the tree's list."""
        places = {label: k for k, label in enumerate(plan.labels)}
        return torch.tensor([places[label] for label in self.sets[name].labels])


@dataclass
class Clock:
    """Seconds of every epoch of every part, kept on disk so that an interruption does not shorten a training."""

    file: Path
    started: float = field(default_factory=time.monotonic)

    def tick(self, part: str, epoch: int) -> None:
        """An epoch ends, unless it ended before the interruption."""
        known = self.read()
        known.setdefault(f"{part} {epoch}", time.monotonic() - self.started)
        self.started = time.monotonic()
        keep_text(self.file, json.dumps(known))

    def read(self) -> dict[str, float]:
        """The seconds that are kept; none, with a warning, if the file is damaged."""
        text = kept_text(self.file, "the seconds of earlier epochs are not counted")
        if text is None:
            make_room(self.file)
            self.file.unlink(missing_ok=True)
            return {}
        return TypeAdapter(dict[str, NonNegativeFloat]).validate_json(text)

    def total(self) -> float:
        """The sum over all epochs."""
        return sum(self.read().values())


def network_name(system: System, sizes: Sizes) -> str:
    """What the row's networks are, for the table."""
    if system.representation == MAPS:
        return sizes.networks["maps"]
    if system.backbone == "pyramid":
        return f"FPN on {sizes.networks['pyramid']}"
    if system.backbone in BACKBONES:
        return system.backbone if system.backbone == "dense" else f"width {sizes.width}"
    return timm_name(system.backbone, sizes)


def run_row(name: str, system: System, count: int, bench: Bench, work: Path, after: Report) -> Row:
    """Train and measure `system` on the first `count` training images, and resume what is in `work`."""
    plan = compile_tree(load_tree(system.tree or bench.preset.tree))
    parts = {part.name: part for part in parts_of(system.questions, plan)}
    run = _maps if system.representation == MAPS else _pixels
    clock = Clock(work / "clock.json")
    outputs, seen, parameters, extra = run(name, system, parts, count, bench, plan, work, clock, after)
    root = system.questions == "root"
    classes = tuple(load_tree(system.tree or bench.preset.tree).choices(plan.nodes[0])) if root else plan.labels
    figures, confusion = {}, {}
    for key, by_part in outputs.items():
        logp = assembled(system.questions, plan, parts, by_part)
        truth = bench.targets(key, plan)[: len(logp)]
        truth = torch.from_numpy(plan.answers[0].astype(np.int64))[truth] if root else truth
        figures[f"{key}/accuracy"] = float((logp.argmax(1) == truth).float().mean())
        figures[f"{key}/loss"] = min(float(F.nll_loss(logp, truth)), 1e6)
        confusion[key] = confusion_matrix(truth, logp.argmax(1), labels=np.arange(len(classes))).tolist()
    return Row(
        system=name, route=system.route, about=system.about, network=network_name(system, bench.sizes),
        classes=classes, count=count, images_seen=seen, seconds=round(clock.total() + extra, 1), parameters=parameters,
        device=bench.device, figures=figures, confusion=confusion,
    )  # fmt: skip


Outcome = tuple[dict[str, dict[str, Tensor]], int, int, float]


def measured(bench: Bench, name: str, count: int) -> int:
    """How many images of a set are measured: no more training images than validation images."""
    return min(count, bench.preset.valid_count) if name == "train" else len(bench.sets[name])


def _pixels(
    name: str, system: System, parts: Mapping[str, Part], count: int, bench: Bench, plan: CompiledTree, work: Path,
    clock: Clock, after: Report,
) -> Outcome:  # fmt: skip
    preset, device = bench.preset, bench.device
    mixed = preset.precision == "mixed"
    arrays = {key: s.windows if system.centred else s.images for key, s in bench.sets.items()}
    labels = bench.targets("train", plan)[:count]
    outputs: dict[str, dict[str, Tensor]] = {key: {} for key in SETS}
    seen = parameters = 0
    for k, part in enumerate(parts.values()):
        torch.manual_seed(preset.seed + k)
        network = build(system, bench.sizes, part)
        loss = LOSSES[system.loss](network.width)
        schedule = Schedule(preset.epochs, preset.lr_of.get(name, preset.lr), preset.batch, preset.seed + 7 * k)
        clock.started = time.monotonic()

        def report(epoch: int, metrics: Metrics, part: Part = part) -> None:
            clock.tick(part.name, epoch)
            after(part.name, epoch, preset.epochs, metrics)

        checkpoint = work / f"part-{k}.pt"
        if bench.fresh is None or system.centred:
            source = stored(arrays["train"][:count], labels, part, preset.batch, device)
        else:
            each = preset.fresh * count // preset.count
            source = new(bench.fresh, bench.places(plan), part, each, preset.batch)
        fit_network(network.to(device), loss.to(device), source, schedule, checkpoint, device, mixed, report)
        seen += source.epoch.steps * source.epoch.batch * preset.epochs
        parameters += sum(p.numel() for p in network.parameters())
        for key, array in arrays.items():
            outputs[key][part.name] = answers_of(network, array[: measured(bench, key, count)], device, mixed)
        keep_network(work / f"part-{k}.weights", network, bench.sizes, preset.tree)
    return outputs, seen, parameters, 0.0


def keep_network(file: Path, network: torch.nn.Module, sizes: Sizes, tree: str) -> None:
    """Weights, and what the network was built from, for `hier explain`."""
    made = {"sizes": {**vars(sizes), "networks": dict(sizes.networks)}, "tree": tree}
    keep_text(file.with_name("made.json"), json.dumps(made, indent=1))
    save_checkpoint(file, {k: v.cpu() for k, v in network.state_dict().items()}, tree)


def _maps(
    name: str, system: System, parts: Mapping[str, Part], count: int, bench: Bench, plan: CompiledTree, work: Path,
    clock: Clock, after: Report,
) -> Outcome:  # fmt: skip
    """As `train`: one network on all groups; for the tree, half of the epochs go to fine-tuning it at every node."""
    preset, device = bench.preset, bench.device
    found = {key: evidence_of(s, key, device, bench.reporter.stage) for key, s in bench.sets.items()}
    labels = bench.targets("train", plan)[:count]
    tuned = preset.epochs // 2 if system.questions != "flat" else 0
    rates = preset.lr_of.get(name, preset.lr)

    def samples(key: str, targets: Tensor) -> Samples:
        keep = (targets >= 0).nonzero().flatten()
        return Samples(found[key].maps[keep], found[key].numbers[keep], targets[keep])

    def train(node: NodeClassifier, targets: Tensor, part: str, epochs: int, lr: float, seed: int) -> NodeClassifier:
        def report(epoch: int, metrics: Metrics) -> None:
            clock.tick(part, epoch)
            running = {k.replace("train/", "train/running_"): v for k, v in metrics.items() if k.startswith("train/")}
            after(part, epoch, epochs, running)

        clock.started = time.monotonic()
        fitting = samples("train", targets)
        none = Samples(fitting.maps[:0], fitting.numbers[:0], fitting.targets[:0])
        return fit(node, fitting, none, Schedule(epochs, lr, preset.batch, seed), work / f"{part}.pt", report)

    torch.manual_seed(preset.seed)
    first = NodeClassifier(NodeSettings(plan.labels, preset.networks["maps"]), preset.pretrained).to(device)
    first = train(first, labels, "all groups", preset.epochs - tuned, rates, preset.seed)
    seen = len(labels) * (preset.epochs - tuned)
    outputs: dict[str, dict[str, Tensor]] = {key: {} for key in SETS}
    parameters = 0
    for k, part in enumerate(parts.values()):
        node = first
        if system.questions != "flat":
            torch.manual_seed(preset.seed + k)
            targets = part.targets(labels)[:, 0]
            choices = tuple(str(c) for c in range(part.sizes[0]))
            node = train(first.for_choices(choices), targets, part.name, max(1, tuned), rates / 3, preset.seed + k)
            seen += int((targets >= 0).sum()) * max(1, tuned)
        parameters += sum(p.numel() for p in node.parameters())
        for key in SETS:
            n = measured(bench, key, count)
            every = Samples(found[key].maps[:n], found[key].numbers[:n], torch.zeros(n, dtype=torch.long))
            outputs[key][part.name] = predict_maps(node, every)
    return outputs, seen, parameters, found["train"].seconds * count / len(bench.sets["train"])
