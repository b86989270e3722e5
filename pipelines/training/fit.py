"""Fit one network to evidence: AdamW, one-cycle learning rate, a checkpoint after every epoch."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.evidence.relabel import random_relabel
from ...models.node import NodeClassifier

WEIGHT_DECAY = 0.05


@dataclass(frozen=True)
class Samples:
    """Evidence with targets: `maps` (N, M, S, S), `numbers` (N, E), `targets` (N,) indices of choices."""

    maps: Tensor
    numbers: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True)
class Schedule:
    """How long, how fast, in which order."""

    epochs: int
    lr: float
    batch: int
    seed: int


Metrics = dict[str, float]


@dataclass(frozen=True)
class Reporter:
    """Where a training tells how far it is.

    ``stage(name, total)`` begins a stage and returns what advances it; ``epoch(node, epoch, epochs, metrics)``
    follows every epoch.
    """

    stage: Callable[[str, int], Callable[[int], None]] = lambda name, total: lambda n: None
    epoch: Callable[[str, int, int, Metrics], None] = lambda node, epoch, epochs, metrics: None


def predict(node: NodeClassifier, samples: Samples, batch: int = 512) -> Tensor:
    """Log-probabilities (N, k) on the CPU."""
    device = next(node.parameters()).device
    node.eval()
    with torch.inference_mode():
        parts = [
            node(samples.maps[i : i + batch].to(device).float(), samples.numbers[i : i + batch].to(device))
            for i in range(0, len(samples), batch)
        ]
    return torch.cat(parts).log_softmax(1).cpu() if parts else torch.zeros(0, len(node.settings.choices))


def score(node: NodeClassifier, samples: Samples, prefix: str) -> Metrics:
    """Mean negative log-likelihood and accuracy, named ``prefix/loss`` and ``prefix/accuracy``."""
    logp = predict(node, samples)
    return {
        f"{prefix}/loss": float(F.nll_loss(logp, samples.targets)),
        f"{prefix}/accuracy": float((logp.argmax(1) == samples.targets).float().mean()),
    }


def fit(
    node: NodeClassifier,
    train: Samples,
    valid: Samples,
    schedule: Schedule,
    checkpoint: Path,
    report: Callable[[int, Metrics], None] = lambda epoch, metrics: None,
    swap: bool = True,
) -> NodeClassifier:
    """Train `node` in place on its device; ``report(epoch, metrics)`` after each epoch, those done before too.

    A checkpoint of the same schedule is taken up where it ended, and the result is the same as without the
    break: the order of images depends on the seed and the epoch alone. `swap` as in `random_relabel`.
    """
    device = next(node.parameters()).device
    batch = min(schedule.batch, max(2, len(train) // 4))
    steps = max(1, len(train) // batch)
    optimiser = torch.optim.AdamW(node.parameters(), schedule.lr, weight_decay=WEIGHT_DECAY)
    total_steps = max(6, schedule.epochs * steps)  # of 5, OneCycleLR would rise in no time and divide by zero
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, schedule.lr, total_steps=total_steps, pct_start=0.2)
    history: list[Metrics] = []
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        node.load_state_dict(state["node"])
        optimiser.load_state_dict(state["optimiser"])
        rate.load_state_dict(state["rate"])
        history = state["history"]
    for epoch, metrics in enumerate(history):
        report(epoch, metrics)
    for epoch in range(len(history), schedule.epochs):
        torch.manual_seed(schedule.seed * 1000 + epoch)
        node.train()
        total = torch.zeros(2)
        order = torch.randperm(len(train))
        for i in range(0, steps * batch, batch):
            at = order[i : i + batch]
            x, y, z = (t[at].to(device) for t in (train.maps, train.targets, train.numbers))
            # the origin of the maps is arbitrary, and so is the choice among equivalent bases
            roll = [int(v) for v in torch.randint(x.shape[-1], (2,))]
            x, z = random_relabel(x.float(), z, swap)
            logits = node(torch.roll(x, roll, (2, 3)), z)
            loss = F.cross_entropy(logits, y)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            rate.step()
            total += torch.stack([loss.detach(), (logits.argmax(1) == y).float().mean()]).cpu()
        mean = (total / steps).tolist()
        history.append({"train/loss": mean[0], "train/accuracy": mean[1], **score(node, valid, "valid")})
        state = {
            "node": node.state_dict(), "optimiser": optimiser.state_dict(), "rate": rate.state_dict(),
            "history": history,
        }  # fmt: skip
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state, checkpoint.with_suffix(".unfinished"))
        os.replace(checkpoint.with_suffix(".unfinished"), checkpoint)
        report(epoch, history[-1])
    return node.eval()
