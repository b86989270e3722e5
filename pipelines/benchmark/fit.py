"""Fit a network of any system to images, and run it on them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...models.systems import Network
from ..training.loop import Metrics, Schedule, Shuffled, train
from .data import pixels

CLIP = 5.0  # largest norm of a gradient: the inner step of the meta loss can be steep


def precision(device: str, mixed: bool) -> AbstractContextManager[object]:
    """Mixed precision on a GPU that supports bfloat16; full precision anywhere else."""
    if mixed and device.startswith("cuda") and torch.cuda.is_bf16_supported():
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext()


def epoch_of(count: int, batch: int) -> Shuffled:
    """The steps of an epoch of `count` images: at least two, if there are images for them."""
    return Shuffled(count, min(batch, max(2, count // 2)))


def fit_network(
    network: Network,
    loss: nn.Module,
    images: NDArray[np.uint8],
    labels: Tensor,
    schedule: Schedule,
    checkpoint: Path,
    device: str = "cpu",
    mixed: bool = False,
    report: Callable[[int, Metrics], None] = lambda epoch, metrics: None,
) -> None:
    """Train `network` and `loss` in place on images (N, 3, H, W) with `labels` (N,) of the tree, as `loop.train`.

    Only images with an answer in the network's part are used.
    """
    targets = network.part.targets(labels)
    used = (targets >= 0).any(1).nonzero().flatten()

    def step(indices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        at = used[indices]
        answers = targets[at].to(device)
        with precision(device, mixed):
            value, logits = loss(network, pixels(images, at.numpy(), device), answers)
        return value, *_right(network, logits.detach(), answers)

    def after(loss: float, accuracy: float) -> Metrics:
        return {"train/running_loss": loss, "train/running_accuracy": accuracy}

    modules = {"network": network, "loss": loss}
    train(modules, step, epoch_of(len(used), schedule.batch), schedule, checkpoint, after, report, CLIP)


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
