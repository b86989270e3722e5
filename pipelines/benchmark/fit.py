"""Fit a network of any system to images: AdamW, one-cycle learning rate, a checkpoint after every epoch."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...hierarchy.files import whole
from ...models.systems import Network
from ..training.fit import WEIGHT_DECAY, Metrics, Schedule
from .data import pixels

CLIP = 5.0  # largest norm of a gradient: the inner step of the meta loss can be steep


def precision(device: str, mixed: bool) -> AbstractContextManager[object]:
    """Mixed precision on a GPU that knows bfloat16; full precision anywhere else."""
    if mixed and device.startswith("cuda") and torch.cuda.is_bf16_supported():
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext()


def steps_of(count: int, batch: int) -> tuple[int, int]:
    """Steps of an epoch and images in each, for `count` images; a rest smaller than a batch waits for its turn."""
    batch = min(batch, max(2, count // 2))
    return max(1, count // batch), batch


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
    """Train `network` and `loss` in place on images (N, 3, H, W) with `labels` (N,) of the tree.

    Only images with an answer in the network's part are used. ``report(epoch, metrics)`` after each epoch, those
    of an interrupted training too: a checkpoint is taken up where it ended.
    """
    targets = network.part.targets(labels)
    used = (targets >= 0).any(1).nonzero().flatten()
    steps, batch = steps_of(len(used), schedule.batch)
    parameters = [*network.parameters(), *loss.parameters()]
    optimiser = torch.optim.AdamW(parameters, schedule.lr, weight_decay=WEIGHT_DECAY)
    total = max(6, schedule.epochs * steps)  # of 5, OneCycleLR would rise in no time and divide by zero
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, schedule.lr, total_steps=total, pct_start=0.2)
    held: dict[str, Any] = {"network": network, "loss": loss, "optimiser": optimiser, "rate": rate}
    history: list[Metrics] = []
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        for name, thing in held.items():
            thing.load_state_dict(state[name])
        history = state["history"]
    for epoch, metrics in enumerate(history):
        report(epoch, metrics)
    for epoch in range(len(history), schedule.epochs):
        torch.manual_seed(schedule.seed * 1000 + epoch)
        network.train()
        order, sums = torch.randperm(len(used)), torch.zeros(3, device=device)
        for k in range(0, steps * batch, batch):
            at = used[order[k : k + batch]]
            answers = targets[at].to(device)
            with precision(device, mixed):
                value, logits = loss(network, pixels(images, at.numpy(), device), answers)
            optimiser.zero_grad(set_to_none=True)
            value.backward()
            nn.utils.clip_grad_norm_(parameters, CLIP)
            optimiser.step()
            rate.step()
            found, asked = _right(network, logits.detach(), answers)
            sums += torch.stack([value.detach().float() * len(at), found, asked])
        seen = steps * batch
        mean, right = float(sums[0] / seen), float(sums[1] / sums[2])
        history.append({"train/running_loss": mean, "train/running_accuracy": right})
        _keep({**{name: thing.state_dict() for name, thing in held.items()}, "history": history}, checkpoint)
        report(epoch, history[-1])
    network.eval()


def _right(network: Network, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    found = torch.stack([x.argmax(1) for x in torch.split(logits, list(network.part.sizes), 1)], 1)
    asked = targets >= 0
    return ((found == targets) & asked).sum().float(), asked.sum().float()


def _keep(state: dict[str, object], checkpoint: Path) -> None:
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    with whole(checkpoint) as file:
        torch.save(state, file)


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
