"""Rows whose networks see pixels."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...hierarchy import CompiledTree
from ...hierarchy.kept import keep_text
from ...models.systems import LOSSES, Network, Part, Sizes, System, assembled, build, parts_of
from ..training.checkpoints import save_checkpoint
from ..training.loop import Metrics, Schedule
from .bench import Bench, Clock, Outcome, Report
from .fit import RIGHT, answers_of, fit_network, new, stored


def on_pixels(
    name: str, system: System, count: int, bench: Bench, plan: CompiledTree, work: Path, after: Report
) -> Outcome:
    """Every network of a system trained, and what they answer together."""
    parts = {part.name: part for part in parts_of(system.questions, plan)}
    outputs: dict[str, dict[str, Tensor]] = {key: {} for key in bench.asked(system)}
    seen = parameters = 0
    curve: dict[str, list[float]] = {}
    for k, part in enumerate(parts.values()):
        network, images, curve[part.name] = trained(name, system, k, part, count, bench, plan, work, after)
        seen += images
        parameters += sum(p.numel() for p in network.parameters())
        for key, by_part in outputs.items():
            array = _array(system, bench, key)[: bench.measured(key, count)]
            by_part[part.name] = answers_of(network, array, bench.device, bench.preset.precision == "mixed")
        keep_network(work / f"part-{k}.weights", network, bench.sizes, bench.preset.tree)
    logp = {key: assembled(system.questions, plan, parts, by_part) for key, by_part in outputs.items()}
    return Outcome(logp, seen, Clock(work / "clock.json").total(), parameters, curve)


def trained(
    name: str, system: System, k: int, part: Part, count: int, bench: Bench, plan: CompiledTree, work: Path,
    after: Report,
) -> tuple[Network, int, list[float]]:  # fmt: skip
    """The network of part number `k`, how many images it saw, and the share that was right in each epoch."""
    preset, device, epochs = bench.preset, bench.device, bench.epochs(name)
    torch.manual_seed(preset.seed + k)
    network = build(system, bench.sizes, part)
    loss = LOSSES[system.loss](network.width)
    schedule = Schedule(epochs, bench.rate(name), preset.batch, preset.seed + 7 * k)
    clock, curve = Clock(work / "clock.json", time.monotonic()), []

    def report(epoch: int, metrics: Metrics) -> None:
        clock.tick(part.name, epoch)
        curve.append(metrics[RIGHT])
        after(part.name, epoch, epochs, metrics)

    if bench.fresh is None or system.centred:
        labels = bench.targets("train", plan)[:count]
        source = stored(_array(system, bench, "train")[:count], labels, part, preset.batch, device)
    else:
        source = new(bench.fresh, bench.places(plan), part, preset.fresh * count // preset.count, preset.batch)
    fit_network(
        network.to(device), loss.to(device), source, schedule, work / f"part-{k}.pt", device,
        preset.precision == "mixed", report,
    )  # fmt: skip
    return network, source.epoch.steps * source.epoch.batch * epochs, curve


def _array(system: System, bench: Bench, key: str) -> NDArray[np.uint8]:
    """Images (N, 3, S, S) uint8 of a set, or the windows of them that the system sees."""
    images = bench.sets[key]
    return images.images if images.windows is None or not system.centred else images.windows


def keep_network(file: Path, network: torch.nn.Module, sizes: Sizes, tree: str) -> None:
    """Weights, and what the network was built from, for `hier explain`."""
    made = {"sizes": {**vars(sizes), "networks": dict(sizes.networks)}, "tree": tree}
    keep_text(file.with_name("made.json"), json.dumps(made, indent=1))
    save_checkpoint(file, {k: v.cpu() for k, v in network.state_dict().items()}, tree)
