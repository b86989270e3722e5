"""The training loop: AdamW, a one-cycle learning rate, checkpoints, a stop where it diverges."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ...hierarchy import HierError
from ..generating.processes import ALONE, Processes
from .checkpoints import load_checkpoint, save_checkpoint

WEIGHT_DECAY = 0.05
EVERY = 120.0  # s between checkpoints within an epoch
CHECKED = 20  # steps between looks at the losses
SPEED = "train/images_per_second"
Metrics = dict[str, float]
Step = tuple[Tensor, Tensor, Tensor]


class TrainingError(HierError):
    """A training that cannot continue; its last good epoch is kept."""


@dataclass(frozen=True)
class Schedule:
    """How long, how fast, in which order."""

    epochs: int
    lr: float
    batch: int
    seed: int


class Epoch(Protocol):
    """The batches of an epoch, the same number in each."""

    @property
    def steps(self) -> int:
        """How many."""

    @property
    def batch(self) -> int:
        """Images in each."""

    def batches(self, epoch: int, first: int) -> Iterator[Any]:
        """Those of epoch number `epoch` from batch `first` on, both from 0."""


@dataclass(frozen=True)
class Shuffled:
    """Batches of `batch` indices out of `count` images, in an order drawn by torch's generator.

    The remainder is left out, another one in each epoch.
    """

    count: int
    batch: int

    @property
    def steps(self) -> int:
        """How many batches."""
        return max(1, self.count // self.batch)

    def batches(self, epoch: int, first: int) -> Iterator[Tensor]:
        """Indices of images."""
        order = torch.randperm(self.count)
        for k in range(first, self.steps):
            yield order[k * self.batch : (k + 1) * self.batch]


def train(
    modules: Mapping[str, nn.Module],
    step: Callable[[Any], Step],
    epoch: Epoch,
    schedule: Schedule,
    checkpoint: Path | None,
    after: Callable[[float, float], Metrics],
    report: Callable[[int, Metrics], None] = lambda epoch, metrics: None,
    clip: float | None = None,
    processes: Processes = ALONE,
) -> None:
    """Train `modules` in place, by name as the checkpoint keeps them.

    ``step(batch)`` gives the loss, the number of right answers and the number of answers of a batch, or of a process's
    share of it; ``after(loss, accuracy)`` the metrics of an epoch from its means; `clip` is the largest norm of a
    gradient. ``report(epoch, metrics)`` follows each epoch, those before an interruption too.

    A checkpoint of the same schedule is kept after every epoch, and every `EVERY` seconds within one. It is resumed,
    and the result is the same as without the interruption: what is drawn depends on seed, epoch and step alone.
    TrainingError where a loss or a weight is not finite: found within `CHECKED` steps, told with the step.
    """
    steps = epoch.steps
    parameters = [p for module in modules.values() for p in module.parameters()]
    device = parameters[0].device
    optimiser = torch.optim.AdamW(parameters, schedule.lr, weight_decay=WEIGHT_DECAY)
    total = max(6, schedule.epochs * steps)  # of 5, OneCycleLR would rise in no time and divide by zero
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, schedule.lr, total_steps=total, pct_start=0.2)
    held: dict[str, Any] = {**modules, "optimiser": optimiser, "rate": rate}
    made_of = repr((asdict(schedule), asdict(epoch), _shapes(modules)))  # type: ignore[call-overload]
    history: list[Metrics] = []
    begun: dict[str, Any] = {}
    if checkpoint and (state := load_checkpoint(checkpoint, made_of, device)):
        for name, thing in held.items():
            thing.load_state_dict(state[name])
        history, begun = state["history"], state.get("begun", {})
    processes.wait()  # before any of them writes what another still reads

    def keep(begun: dict[str, Any]) -> None:
        if checkpoint and processes.first:
            state = {name: thing.state_dict() for name, thing in held.items()}
            save_checkpoint(checkpoint, {**state, "history": history, "begun": begun}, made_of)

    for k, metrics in enumerate(history):
        report(k, metrics)
    for k in range(len(history), schedule.epochs):
        torch.manual_seed(schedule.seed * 1000 + k)
        for module in modules.values():
            module.train()
        first = begun.get("step", 0)
        sums = begun["sums"].to(device) if begun else torch.zeros(3, device=device)
        batches = epoch.batches(k, first)
        diverged, kept = torch.full((), steps, device=device), time.monotonic()
        started = kept - begun.get("seconds", 0.0)
        for i, batch in enumerate(batches, first):
            if begun:
                _resume_random(begun.pop("random"), device)
                begun = {}
            loss, right, asked = step(batch)
            diverged = torch.where(loss.detach().isfinite(), diverged, diverged.clamp_max(i))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            if clip is not None:
                nn.utils.clip_grad_norm_(parameters, clip)
            optimiser.step()
            rate.step()
            sums += torch.stack([loss.detach().float(), right, asked])
            if (i + 1) % CHECKED and i + 1 < steps:
                continue  # a card works on: only here it is waited for
            if (at := int(processes.least(diverged))) < steps:
                raise _diverged("a loss that is not finite", k, at, schedule, checkpoint)
            if time.monotonic() - kept >= EVERY and i + 1 < steps:
                kept = time.monotonic()
                keep({"step": i + 1, "sums": sums.cpu(), "random": _random(device), "seconds": kept - started})
        if not all(map(is_finite, modules.values())):
            raise _diverged("weights that are not finite", k, steps - 1, schedule, checkpoint)
        loss_sum, right_sum, asked_sum = processes.total(sums).tolist()
        speed = steps * epoch.batch / (time.monotonic() - started)
        metrics = after(loss_sum / steps / processes.count, right_sum / asked_sum)
        history.append({**metrics, SPEED: speed})
        keep({})
        report(k, history[-1])
    for module in modules.values():
        module.eval()


def _random(device: torch.device) -> dict[str, Tensor]:
    """The states of the generators that a step draws from."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def _resume_random(states: Mapping[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(states["cpu"].cpu())
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"].cpu(), device)


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
