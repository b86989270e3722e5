"""One network trained by several processes, with the result of one process to rounding."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.overrides import TorchFunctionMode

from ..generating.processes import Processes


def parallel(network: nn.Module, processes: Processes) -> Callable[..., Tensor]:
    """Calls `network` with a process's share of a batch: gradients are averaged over the processes.

    Batch normalisation, whatever layer does it, takes the statistics of the whole batch: `SyncBatchNorm` would need a
    card. Shares must be equally large.
    """
    if processes.count == 1:
        return network
    wrapped = DistributedDataParallel(network)

    def call(*given: Tensor) -> Tensor:
        with _WholeBatch(processes.count):
            made: Tensor = wrapped(*given)
        return made

    return call


class _WholeBatch(TorchFunctionMode):
    """`torch.nn.functional.batch_norm` over all processes, while training."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def __torch_function__(
        self, function: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if function is F.batch_norm:
            return self.batch_norm(*args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))

    def batch_norm(
        self, input: Tensor, running_mean: Tensor | None, running_var: Tensor | None, weight: Tensor | None = None,
        bias: Tensor | None = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
    ) -> Tensor:  # fmt: skip
        """As torch's; the mean over all processes is the mean of theirs, since shares are equally large."""
        if not training:
            return F.batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
        axes = [k for k in range(input.ndim) if k != 1]
        shape = [-1 if k == 1 else 1 for k in range(input.ndim)]
        mean = self._total(input.mean(axes))
        centred = input - mean.reshape(shape)
        variance = self._total(centred.square().mean(axes))
        if running_mean is not None and running_var is not None:
            n = input.numel() / input.shape[1] * self.count
            with torch.no_grad():
                running_mean.lerp_(mean, momentum)
                running_var.lerp_(variance * n / (n - 1), momentum)
        made = centred * (variance + eps).rsqrt().reshape(shape)
        made = made if weight is None else made * weight.reshape(shape)
        return made if bias is None else made + bias.reshape(shape)

    def _total(self, mean: Tensor) -> Tensor:
        """The mean over all processes, through which gradients flow."""
        total: Tensor = _Total.apply(mean / self.count)
        return total


class _Total(torch.autograd.Function):
    """The sum over all processes; so is its gradient, since each of them goes on with it."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total
