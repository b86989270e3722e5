"""Part of `gpu.py`: images a second of each stage on a device, beside what its memory and its launches would allow."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import timm
import torch
import torch.nn.functional as F
from hier.datasets import SOURCES, PatternDataset
from hier.models.classifier import Classifier
from hier.models.evidence.relabel import random_relabel
from hier.models.node import NodeClassifier, NodeSettings
from hier.pipelines.generating.parts import Part, evidence_of
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

Figures = dict[str, Any]
WAITING = ("aten::_local_scalar_dense", "aten::nonzero", "aten::_unique2")  # operations that a card is waited for in


class Launches(TorchDispatchMode):
    """Counts operations: on a card most of them launch a kernel, and some wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.counts[function._schema.name] += 1
        return function(*args, **(kwargs or {}))

    @property
    def waits(self) -> int:
        return sum(self.counts[name] for name in WAITING)


@contextmanager
def counted() -> Iterator[Launches]:
    with Launches() as launches:
        yield launches


def seconds(device: str, run: Callable[[], object]) -> float:
    """Best of three after a run to warm up; on the CPU, which is rehearsed on, the first."""
    best = float("inf")
    for _ in range(4 if device != "cpu" else 1):
        wait(device)
        started = time.perf_counter()
        run()
        wait(device)
        best = min(best, time.perf_counter() - started)
    return best


def wait(device: str) -> None:
    if device != "cpu":
        torch.accelerator.synchronize()


def machine(device: str) -> Figures:
    """Bytes a second that a copy moves, and seconds that a small operation takes to launch."""
    large = torch.zeros(2**26 if device != "cpu" else 2**22, device=device)
    small = torch.zeros(8, device=device)
    return {
        "bytes_per_second": 2 * large.nbytes / seconds(device, large.clone),
        "seconds_per_launch": seconds(device, lambda: [small.add_(1) for _ in range(1000)]) / 1000,
    }


def rate(device: str, about: Figures, images: int, touched: int, run: Callable[[], object]) -> Figures:
    """Images a second, operations and waits of one run, and the images a second that either limit would allow.

    `touched`: bytes of an image that have to be read or written once whatever the algorithm.
    """
    with counted() as launches:
        run()
    operations = sum(launches.counts.values())
    return {
        "images_per_second": images / seconds(device, run), "batch": images, "operations": operations,
        "waits": launches.waits, "at_most_by_memory": about["bytes_per_second"] / touched,
        "at_most_by_launches": images / (operations * about["seconds_per_launch"]),
    }  # fmt: skip


def speed(device: str, batch: int, dataset: Callable[[str], PatternDataset], model: Classifier) -> dict[str, Figures]:
    """Generation of every source, evidence, prediction by batch, and steps of a node's training, by batch."""
    about, image = machine(device), 3 * 256 * 256 * 4
    figures: dict[str, Figures] = {"machine": about}
    for source in SOURCES:
        made = dataset(source)
        figures[f"generate {source}"] = rate(device, about, batch, image, partial(made.batch, range(batch), device))
    part = Part(dataset("atoms"), 0, batch, None, "valid")
    figures["generate and evidence, atoms"] = rate(
        device, about, batch, image, partial(evidence_of, part, range(batch), device)
    )
    each = -(-batch // len(SOURCES))
    images = torch.cat([dataset(source).batch(range(each), device) for source in SOURCES])[:batch]
    figures["evidence"] = rate(device, about, batch, image, lambda: model.represent(images))
    for n in sorted({1, 16, batch // 4 or 1, batch}):
        figures[f"predict, batch {n}"] = rate(device, about, n, image, lambda n=n: model.answer(images[:n]))
    resnet = timm.create_model("resnet50").eval().to(device)
    with torch.inference_mode():
        figures["resnet50, float32"] = {"images_per_second": batch / seconds(device, lambda: resnet(images))}
        if device != "cpu":
            resnet, images = (x.to(memory_format=torch.channels_last) for x in (resnet, images))
            with torch.autocast(device.partition(":")[0], torch.bfloat16):
                figures["resnet50, bfloat16"] = {"images_per_second": batch / seconds(device, lambda: resnet(images))}
    found = model.represent(images[:64].contiguous())
    for n in (128, 1024) if device != "cpu" else (32,):
        repeats = -(-n // len(found.maps))
        maps, numbers = found.maps.clone().repeat(repeats, 1, 1, 1)[:n], found.numbers.clone().repeat(repeats, 1)[:n]
        node = NodeClassifier(NodeSettings(tuple(model.labels))).to(device).train()
        optimiser = torch.optim.AdamW(node.parameters(), 1e-3)
        step = partial(_step, node, optimiser, maps, numbers, torch.arange(n, device=device) % 17)
        figures[f"train, batch {n}"] = rate(device, about, n, maps[0].nbytes, step)
    return figures


def _step(node: NodeClassifier, optimiser: torch.optim.AdamW, maps: Tensor, numbers: Tensor, targets: Tensor) -> None:
    loss = F.cross_entropy(node(*random_relabel(maps, numbers)), targets)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
