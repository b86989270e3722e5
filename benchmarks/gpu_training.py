"""Part of `gpu.py`: the whole tree trained endlessly, and ResNet50 on pixels, each for a time, both evaluated."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from hier.datasets import SOURCES, PatternDataset
from hier.hierarchy import GROUP_NAMES
from hier.pipelines.training.data import TRAIN, corruptions_of
from hier.pipelines.training.settings import TrainSettings

Figures = dict[str, Any]
Hier = Callable[..., Any]
# As models/recipes/training.yaml, on the pictures that come with hier.
TREE = """
{{source: [photos, atoms, noise, outlines], count: {count}, valid_count: {valid}, cross_count: {valid},
 sizes: [128, 192, 256, 256, 384], pasted: 0.3, near_misses: 0.3, workmanship: 0.6, whitened: 0.3, disorder: 0.25,
 epochs: {epochs}, tune_epochs: {tune_epochs}, endless: true}}
"""


def tree(
    hier: Hier, folder: Path, per_second: float, given: float, epochs: tuple[int, int], count: int, keep: Path | None
) -> Figures:
    """The bundled tree from nothing in about `given` seconds at so many images `per_second`, evaluated on `count` each.

    In so many epochs of the backbone and of all nodes; the bundle is copied to `keep`.
    """
    first, then = epochs
    images = max(34, int(0.8 * per_second * given / (first + 1.5 * then)))  # the gate sees half as many besides
    settings = TREE.format(count=images, valid=count, epochs=first, tune_epochs=then)
    (folder / "tree.yaml").write_text(settings, encoding="utf-8")
    started = time.perf_counter()
    hier("train", "--level", "all", "--config", "tree.yaml", "--json")
    spent, model = time.perf_counter() - started, folder / "mlruns" / "models" / "wallpaper"
    figures: Figures = {"images_per_epoch": images, "epochs": first, "tune_epochs": then, "training": spent}
    for source in SOURCES:
        report = hier("evaluate", "--source", source, "--seed", "7", "--count", str(count), "--model", str(model),
                      "--json")  # fmt: skip
        figures[f"accuracy on {source}"] = report["accuracy"]
    if keep is not None:
        shutil.copytree(model, keep, dirs_exist_ok=True)
        (keep / "figures.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return figures


def resnet50(device: str, given: float, count: int, dataset: Callable[[str], PatternDataset]) -> Figures:
    """ResNet50 on patterns of photographs, 256 px, each seen once, for `given` seconds; evaluated on other sources."""
    quick = device == "cpu"  # a rehearsal
    size, batch = (64, 8) if quick else (256, 256)
    cells = (4.0, 60.0) if size == 256 else (4.0, 12.0)
    corruptions, pool = corruptions_of(TrainSettings()), dataset("photos").pool
    fitted = PatternDataset("photos", TRAIN + 999, size, cells=cells, corruptions=corruptions, pool=pool)
    network = timm.create_model("resnet50", num_classes=len(GROUP_NAMES)).to(device, memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=0.05)
    started, seen, loss = time.perf_counter(), 0, torch.zeros(())
    while (gone := (time.perf_counter() - started) / given) < 1:
        optimiser.param_groups[0]["lr"] = 1e-3 * min(1.0, 10 * gone + 0.02, 2 * (1 - gone) + 0.01)
        indices = range(seen, seen + batch)
        images = fitted.batch(indices, device).to(memory_format=torch.channels_last)
        targets = torch.tensor([i % len(GROUP_NAMES) for i in indices], device=device)
        with torch.autocast(device.partition(":")[0], torch.bfloat16, enabled=not quick):
            loss = F.cross_entropy(network(images).float(), targets)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        seen += batch
    figures: Figures = {"images": seen, "last_loss": float(loss.detach()), "size": size}
    network.eval()
    for source in ("photos", "atoms", "noise"):
        other = PatternDataset(source, 7, size, cells=cells)
        figures[f"accuracy on {source}"] = _accuracy(network, other, count, device)
    return figures


@torch.inference_mode()
def _accuracy(network: torch.nn.Module, dataset: PatternDataset, count: int, device: str) -> float:
    right = 0
    for k in range(0, count, 64):
        indices = range(k, min(k + 64, count))
        found = network(dataset.batch(indices, device)).argmax(1).tolist()
        right += sum(GROUP_NAMES[f] == dataset.label(i) for f, i in zip(found, indices, strict=True))
    return right / count
