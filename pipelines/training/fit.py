"""Fit one node to evidence, and score it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import log
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.evidence.groups import highest_within
from ...models.evidence.relabel import draw_relabelling, random_relabel
from ...models.node import NodeClassifier
from ..generating.processes import ALONE, Processes
from ..generating.stored import Rows, in_memory
from .loop import Metrics, Schedule, Shuffled, Step, TrainingError, train
from .parallel import parallel

TOLERANCES = (0.004, 0.4)  # between which they are drawn
TRIES = 4


@dataclass(frozen=True)
class Samples:
    """Evidence with targets: `maps` (N, M, S, S) and `numbers` (N, E), tensors or rows that stay in files or on a card,
    and `targets` (N,), indices of choices.

    Without a tolerance an image's target is what it was made as; -1 where that is not asked. Where the `misfits`
    (N, 18) of the groups are known, a tolerance may be given: `choice` (17,) is then the target of the group that holds
    within it, -1 for groups that are not below the node. Losses are weighed by `weights` (N,), where they are given.
    """

    maps: Rows
    numbers: Rows
    targets: Tensor
    misfits: Tensor | None = None
    choice: Tensor | None = None
    weights: Tensor | None = None

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True)
class Reporter:
    """How a training reports its progress.

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


def draw_tolerances(samples: Samples, indices: Tensor) -> tuple[Tensor, Tensor]:
    """For each of the samples a tolerance, NaN for none, and the target at it; -1 where there is none.

    Half of the samples are asked without a tolerance; those without a target then, and the others, at a tolerance drawn
    from `TOLERANCES`, evenly on a logarithmic scale: the first of `TRIES` draws that has a target.
    """
    target = samples.targets[indices]
    asked = torch.full(target.shape, torch.nan)
    if samples.misfits is None or samples.choice is None:
        return asked, target
    misfits = samples.misfits[indices]
    low, high = (log(t) for t in TOLERANCES)
    told = (torch.rand(len(indices)) < 0.5) | (target < 0)
    target = torch.where(told, -1, target)
    for _ in range(TRIES):
        drawn = (low + (high - low) * torch.rand(len(indices))).exp()
        found = samples.choice[highest_within(misfits[:, :-1], drawn)]
        # at a tolerance at which the lattice is finer, no image is asked about the coarser one
        found = torch.where(drawn < misfits[:, -1], found, -1)
        use = told & asked.isnan() & (found >= 0)
        asked, target = torch.where(use, drawn, asked), torch.where(use, found, target)
    return asked, target


def batch_of(count: int, batch: int, processes: int = 1) -> int:
    """Images in a step: `batch`, or fewer so that `count` images make four steps, but at least 2.

    As many for each of several processes, and at least 2.
    """
    most = min(batch, max(2, count // 4))
    return most if processes == 1 else max(2, most // processes) * processes


def fit(
    node: NodeClassifier,
    samples: Samples,
    valid: Samples,
    schedule: Schedule,
    checkpoint: Path | None,
    report: Callable[[int, Metrics], None] = lambda epoch, metrics: None,
    swap: bool = True,
    processes: Processes = ALONE,
) -> NodeClassifier:
    """Train `node` in place on its device, as `loop.train`. `swap` as in `random_relabel`.

    Several `processes`, each with the same node and samples, train it together: each step's batch is shared among them.
    TrainingError for evidence that is not finite, with the number of the sample.
    """
    device = next(node.parameters()).device
    _check_finite(samples)
    model = parallel(node, processes)

    def step(indices: Tensor) -> Step:
        return step_of(model, device, samples, indices, swap, processes)

    def after(loss: float, accuracy: float) -> Metrics:
        return {"train/loss": loss, "train/accuracy": accuracy, **score(node, valid, "valid")}

    epoch = Shuffled(len(samples), batch_of(len(samples), schedule.batch, processes.count))
    train({"node": node}, step, epoch, schedule, checkpoint, after, report, processes=processes)
    return node


def step_of(
    model: Callable[..., Tensor], device: torch.device, samples: Samples, indices: Tensor, swap: bool = True,
    processes: Processes = ALONE,
) -> Step:  # fmt: skip
    """Loss, right answers and answers of `model` on a batch of samples, or on this process's share of it.

    All of a batch is drawn by every process, so that all draw the same, whatever their number.
    """
    own = processes.own(indices)
    x, z = samples.maps[own].to(device), samples.numbers[own].to(device)
    asked, target = draw_tolerances(samples, indices)
    # the origin of the maps is arbitrary, and so is the choice among equivalent bases
    roll = [int(v) for v in torch.randint(x.shape[-1], (2,))]
    drawn, count = draw_relabelling(len(indices)).T, (target >= 0).sum()
    asked, y, drawn = (processes.own(t).to(device) for t in (asked, target, drawn))
    x, z = random_relabel(x.float(), z, swap, drawn.T)
    logits = model(torch.roll(x, roll, (2, 3)), z, asked)
    if samples.weights is None:
        total = F.cross_entropy(logits, y, ignore_index=-1, reduction="sum")
    else:
        each = F.cross_entropy(logits, y, ignore_index=-1, reduction="none")
        total = (each * samples.weights[own].to(device)).sum()
    loss = total * processes.count / count.clamp_min(1)
    return loss, (logits.argmax(1) == y).sum().float(), (y >= 0).sum().float()


def _check_finite(samples: Samples) -> None:
    """Of evidence in memory; what stays in files was checked when it was made or found there."""
    maps, numbers = in_memory(samples.maps), in_memory(samples.numbers)
    if maps is not None and numbers is not None:
        good = maps.flatten(1).isfinite().all(1) & numbers.isfinite().all(1)
        if not bool(good.all()):
            raise TrainingError(f"the evidence of sample {int((~good).nonzero()[0, 0])} is not finite: leave it out")
