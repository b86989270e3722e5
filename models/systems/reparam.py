"""Parameter sharing that is learnt: the kernels of a layer are W = U v, and U is what tasks have in common.

Zhou, Knowles and Finn, "Meta-learning symmetries by reparameterization", ICLR 2021. In an inner step the filters v
follow the gradient of one half of a batch (the task); in the outer step everything, U above all, follows the
gradient of the other half through that inner step.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .kernels import he_normal

SIDE = 5
FILTERS = "filters"  # the name of v in every layer: what the inner step adapts


class SharedConv(nn.Module):
    """(B, in, H, W) to (B, out, H, W): the largest response to the `slots` copies ``U[r] v`` of each kernel v.

    `sharing` U (slots, side^2, M) begins with the identity and small noise, or as given. With the matrices of
    a rotation group (`kernels.copies`) the layer is equivariant under it.
    """

    def __init__(
        self, channels: int, out: int, slots: int = 4, side: int = SIDE, sharing: Tensor | None = None
    ) -> None:
        super().__init__()
        if sharing is None:
            sharing = torch.eye(side * side) + 0.3 * torch.randn(slots, side * side, side * side) / side
        size = sharing.shape[-1]
        self.sharing = nn.Parameter(sharing.clone())
        self.filters = he_normal(out, channels, size, fan_in=channels * size)
        self.side = side

    def responses(self, x: Tensor) -> Tensor:
        """Response to every copy: (B, out, slots, H, W)."""
        kernels = torch.einsum("rpm,oim->orip", self.sharing, self.filters)
        y = F.conv2d(x, kernels.reshape(-1, x.shape[1], self.side, self.side), padding=self.side // 2)
        return y.reshape(len(y), len(self.filters), -1, *y.shape[-2:])

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.responses(x).amax(2)


class SharedNet(nn.Module):
    """Four such layers with halvings between, then the mean over places: (B, C, H, W) to (B, D)."""

    def __init__(self, channels: int, width: int, slots: int = 4) -> None:
        super().__init__()
        first = max(4, width // slots)
        widths = (channels, first, first, 2 * first, 4 * first)
        layers: list[nn.Module] = []
        for k, (before, after) in enumerate(pairwise(widths)):
            layers += [nn.AvgPool2d(2)] if k else []
            layers += [SharedConv(before, after, slots), nn.GroupNorm(1, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, D)."""
        features: Tensor = self.layers(images).mean((2, 3))
        return features


def adapted(network: nn.Module, loss: Tensor, rate: float) -> dict[str, Tensor]:
    """All parameters after one step of the filters v alone down `loss`, differentiable with respect to all.

    ValueError when no layer of the network has such filters.
    """
    parameters = dict(network.named_parameters())
    names = [name for name in parameters if name.rpartition(".")[2] == FILTERS]
    if not names:
        raise ValueError("no layer of this network shares parameters: the loss 'meta' needs the backbone 'shared'")
    slopes = torch.autograd.grad(loss, [parameters[name] for name in names], create_graph=True)
    steps = {name: parameters[name] - rate * slope for name, slope in zip(names, slopes, strict=True)}
    return {**parameters, **steps}
