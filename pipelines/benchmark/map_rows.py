"""Rows whose networks see symmetry maps."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from torch import Tensor

from ...hierarchy import CompiledTree
from ...models.node import NodeClassifier, NodeSettings
from ...models.systems import System, assembled, parts_of
from ..training.fit import Samples, fit
from ..training.fit import predict as predict_maps
from ..training.loop import Metrics, Schedule
from .bench import Bench, Clock, Outcome, Report
from .data import evidence_of
from .fit import RIGHT


def on_maps(
    name: str, system: System, count: int, bench: Bench, plan: CompiledTree, work: Path, after: Report
) -> Outcome:
    """As `train`: one network on all groups; for the tree, half of the epochs go to fine-tuning it at every node."""
    preset, device = bench.preset, bench.device
    parts = {part.name: part for part in parts_of(system.questions, plan)}
    found = {key: evidence_of(s, key, device, bench.reporter.stage) for key, s in bench.sets.items()}
    labels = bench.targets("train", plan)[:count]
    epochs, rate = bench.epochs(name), bench.rate(name)
    tuned = epochs // 2 if system.questions != "flat" else 0
    clock, curve = Clock(work / "clock.json"), dict[str, list[float]]()

    def samples(key: str, targets: Tensor) -> Samples:
        keep = (targets >= 0).nonzero().flatten()
        return Samples(found[key].maps[keep], found[key].numbers[keep], targets[keep])

    def train(node: NodeClassifier, targets: Tensor, part: str, epochs: int, lr: float, seed: int) -> NodeClassifier:
        curve[part] = []

        def report(epoch: int, metrics: Metrics) -> None:
            clock.tick(part, epoch)
            running = {k.replace("train/", "train/running_"): v for k, v in metrics.items() if k.startswith("train/")}
            curve[part].append(running[RIGHT])
            after(part, epoch, epochs, running)

        clock.started = time.monotonic()
        fitting = samples("train", targets)
        none = Samples(fitting.maps[:0], fitting.numbers[:0], fitting.targets[:0])
        return fit(node, fitting, none, Schedule(epochs, lr, preset.batch, seed), work / f"{part}.pt", report)

    torch.manual_seed(preset.seed)
    first = NodeClassifier(NodeSettings(plan.labels, preset.networks["maps"]), preset.pretrained).to(device)
    first = train(first, labels, "all groups", epochs - tuned, rate, preset.seed)
    seen = len(labels) * (epochs - tuned)
    outputs: dict[str, dict[str, Tensor]] = {key: {} for key in found}
    parameters = 0
    for k, part in enumerate(parts.values()):
        node = first
        if system.questions != "flat":
            torch.manual_seed(preset.seed + k)
            targets = part.targets(labels)[:, 0]
            choices = tuple(str(c) for c in range(part.sizes[0]))
            node = train(first.for_choices(choices), targets, part.name, max(1, tuned), rate / 3, preset.seed + k)
            seen += int((targets >= 0).sum()) * max(1, tuned)
        parameters += sum(p.numel() for p in node.parameters())
        for key, evidence in found.items():
            n = bench.measured(key, count)
            every = Samples(evidence.maps[:n], evidence.numbers[:n], torch.zeros(n, dtype=torch.long))
            outputs[key][part.name] = predict_maps(node, every)
    logp = {key: assembled(system.questions, plan, parts, by_part) for key, by_part in outputs.items()}
    extra = found["train"].seconds * count / len(bench.sets["train"])
    return Outcome(logp, seen, clock.total() + extra, parameters, curve)
