"""The training loop: AdamW, a one-cycle learning rate, a checkpoint after every epoch, a stop where it diverges."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...hierarchy import HierError
from .checkpoints import load_checkpoint, save_checkpoint

WEIGHT_DECAY = 0.05
Metrics = dict[str, float]
Step = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]


class TrainingError(HierError):
    """A training that cannot continue; its last good epoch is kept."""


@dataclass(frozen=True)
class Schedule:
    """How long, how fast, in which order."""

    epochs: int
    lr: float
    batch: int
    seed: int


@dataclass(frozen=True)
class Epoch:
    """The steps of an epoch: `steps` batches of `batch` out of `count` images; the remainder is left out in turn."""

    count: int
    batch: int

    @property
    def steps(self) -> int:
        """How many batches."""
        return max(1, self.count // self.batch)

    def batches(self) -> list[Tensor]:
        """Indices of images, in an order drawn by torch's generator."""
        order = torch.randperm(self.count)
        return [order[k : k + self.batch] for k in range(0, self.steps * self.batch, self.batch)]


def train(
    modules: Mapping[str, nn.Module],
    step: Step,
    epoch: Epoch,
    schedule: Schedule,
    checkpoint: Path | None,
    after: Callable[[float, float], Metrics],
    report: Callable[[int, Metrics], None] = lambda epoch, metrics: None,
    clip: float | None = None,
) -> None:
    """Train `modules` in place, by name as the checkpoint keeps them.

    ``step(indices)`` gives the loss, the number of right answers and the number of answers of a batch;
    ``after(loss, accuracy)`` the metrics of an epoch from its means; `clip` is the largest norm of a gradient.
    ``report(epoch, metrics)`` follows each epoch, those before an interruption too.

    A checkpoint of the same schedule is resumed, and the result is the same as without the interruption: the order of
    images depends on the seed and the epoch alone. TrainingError at the first loss or weight that is not finite.
    """
    parameters = [p for module in modules.values() for p in module.parameters()]
    optimiser = torch.optim.AdamW(parameters, schedule.lr, weight_decay=WEIGHT_DECAY)
    total = max(6, schedule.epochs * epoch.steps)  # of 5, OneCycleLR would rise in no time and divide by zero
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, schedule.lr, total_steps=total, pct_start=0.2)
    held: dict[str, Any] = {**modules, "optimiser": optimiser, "rate": rate}
    history: list[Metrics] = []
    made_of = repr((asdict(schedule), asdict(epoch), _shapes(modules)))
    if checkpoint and (state := load_checkpoint(checkpoint, made_of, parameters[0].device)):
        for name, thing in held.items():
            thing.load_state_dict(state[name])
        history = state["history"]
    for k, metrics in enumerate(history):
        report(k, metrics)
    for k in range(len(history), schedule.epochs):
        torch.manual_seed(schedule.seed * 1000 + k)
        for module in modules.values():
            module.train()
        sums = torch.zeros(3)
        for i, indices in enumerate(epoch.batches()):
            loss, right, asked = step(indices)
            if not bool(loss.isfinite()):
                raise _diverged(f"loss {float(loss.detach()):g}", k, i, schedule, checkpoint)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            if clip is not None:
                nn.utils.clip_grad_norm_(parameters, clip)
            optimiser.step()
            rate.step()
            sums += torch.stack([loss.detach().float(), right, asked]).cpu()
        if not all(map(is_finite, modules.values())):
            raise _diverged("weights that are not finite", k, epoch.steps - 1, schedule, checkpoint)
        history.append(after(float(sums[0]) / epoch.steps, float(sums[1] / sums[2])))
        if checkpoint:
            state = {name: thing.state_dict() for name, thing in held.items()}
            save_checkpoint(checkpoint, {**state, "history": history}, made_of)
        report(k, history[-1])
    for module in modules.values():
        module.eval()


def is_finite(module: nn.Module) -> bool:
    """Whether all weights and statistics of `module` are."""
    return all(bool(v.isfinite().all()) for v in module.state_dict().values())


def right_of(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """How many of the likeliest choices (B, k) are the `targets` (B,), and how many there are."""
    return (logits.argmax(1) == targets).sum().float(), torch.tensor(float(len(targets)), device=logits.device)


def _shapes(modules: Mapping[str, nn.Module]) -> Sequence[tuple[str, str, tuple[int, ...]]]:
    return [(name, key, tuple(v.shape)) for name, module in modules.items() for key, v in module.state_dict().items()]


def _diverged(what: str, epoch: int, step: int, schedule: Schedule, checkpoint: Path | None) -> TrainingError:
    kept = f"; the checkpoint after epoch {epoch} is kept" if checkpoint and epoch else ""
    return TrainingError(
        f"training {checkpoint.stem if checkpoint else 'a network'} diverged: {what} in epoch {epoch + 1}, "
        f"step {step + 1}{kept}. Lower its learning rate ({schedule.lr:g} now)"
    )
