"""Fit a network of any system to images, and run it on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...datasets.fresh import FreshPhotos
from ...models.systems import Network, Part
from ..training.loop import Epoch, Metrics, Schedule, Shuffled, train
from .data import pixels

RIGHT = "train/running_accuracy"  # of an epoch, while the weights change
CLIP = 5.0  # largest norm of a gradient: the inner step of the meta loss can be steep


def precision(device: str, mixed: bool) -> AbstractContextManager[object]:
    """Mixed precision, with bfloat16, where `device` has instructions for it; full precision anywhere else."""
    if mixed and has_bfloat16(device):
        return torch.autocast(torch.device(device).type, dtype=torch.bfloat16)
    return nullcontext()


def has_bfloat16(device: str) -> bool:
    """Whether it multiplies in bfloat16: a processor that only imitates it takes ten times as long as in full."""
    match torch.device(device).type:
        case "cpu":
            return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        case "cuda":
            return bool(torch.cuda.is_bf16_supported())
        case _:
            return False


def epoch_of(count: int, batch: int) -> Shuffled:
    """The steps of an epoch of `count` images: at least two, if there are images for them."""
    return Shuffled(count, min(batch, max(2, count // 2)))


@dataclass(frozen=True)
class New:
    """Numbers of steps, none of which comes twice: `count` new images an epoch, `batch` in a step."""

    count: int
    batch: int

    @property
    def steps(self) -> int:
        """How many batches."""
        return max(1, self.count // self.batch)

    def batches(self, epoch: int, first: int) -> Iterator[int]:
        """The numbers of an epoch's steps."""
        yield from range(epoch * self.steps + first, (epoch + 1) * self.steps)


@dataclass(frozen=True)
class Source:
    """What a network is trained on: `epoch` has batches, of which `read` makes images (B, 3, H, W) and labels (B,)."""

    epoch: Epoch
    read: Callable[[Any], tuple[Tensor, Tensor]]


def stored(images: NDArray[np.uint8], labels: Tensor, part: Part, batch: int, device: str) -> Source:
    """The same images (N, 3, H, W) in every epoch, with `labels` (N,): those with an answer in the network's part."""
    used = (part.targets(labels) >= 0).any(1).nonzero().flatten()
    return Source(epoch_of(len(used), batch), lambda k: (pixels(images, used[k].numpy(), device), labels[used[k]]))


def new(fresh: FreshPhotos, places: Tensor, part: Part, count: int, batch: int) -> Source:
    """New images in every epoch: of `count` those with an answer in the network's part, and no others are made.

    `places` (17,) are the tree's labels of the groups.
    """
    asked = (part.targets(places) >= 0).any(1)
    own = replace(fresh, groups=tuple(np.flatnonzero(asked.numpy()).tolist()))

    def read(step: int) -> tuple[Tensor, Tensor]:
        images, groups = own.batch(step, batch)
        return images, places[groups.cpu()]

    return Source(New(int(count * asked.float().mean()), batch), read)


def fit_network(
    network: Network,
    loss: nn.Module,
    source: Source,
    schedule: Schedule,
    checkpoint: Path,
    device: str = "cpu",
    mixed: bool = False,
    report: Callable[[int, Metrics], None] = lambda epoch, metrics: None,
) -> None:
    """Train `network` and `loss` in place on what `source` gives, as `loop.train`."""

    def step(batch: Any) -> tuple[Tensor, Tensor, Tensor]:
        images, labels = source.read(batch)
        answers = network.part.targets(labels).to(device)
        with precision(device, mixed):
            value, logits = loss(network, images, answers)
        return value, *_right(network, logits.detach(), answers)

    def after(loss: float, accuracy: float) -> Metrics:
        return {"train/running_loss": loss, RIGHT: accuracy}

    for weight in network.parameters():
        if weight.ndim == 4:  # 1.2 to 1.6 times as fast on a processor
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    modules = {"network": network, "loss": loss}
    train(modules, step, source.epoch, schedule, checkpoint, after, report, CLIP)


def _right(network: Network, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    found = torch.stack([x.argmax(1) for x in torch.split(logits, list(network.part.sizes), 1)], 1)
    asked = targets >= 0
    return ((found == targets) & asked).sum().float(), asked.sum().float()


@torch.inference_mode()
def answers_of(
    network: Network, images: NDArray[np.uint8], device: str, mixed: bool = False, batch: int = 64
) -> Tensor:
    """Logits (N, E) on the CPU, in evaluation mode."""
    network.eval()
    parts = []
    for k in range(0, len(images), batch):
        with precision(device, mixed):
            parts.append(network(pixels(images, range(k, min(k + batch, len(images))), device)).float().cpu())
    return torch.cat(parts)


@torch.inference_mode()
def features_of(network: Network, images: NDArray[np.uint8], device: str, batch: int = 64) -> NDArray[np.float64]:
    """Features (N, width), in evaluation mode and full precision."""
    network.eval()
    starts = range(0, len(images), batch)
    parts = [network.features(pixels(images, range(k, min(k + batch, len(images))), device)) for k in starts]
    return torch.cat(parts).double().cpu().numpy()
