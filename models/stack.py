"""Networks of one architecture run as one: a node costs many small operations, all nodes together hardly more.

What stands still after training is folded: normalisation into the convolutions before it (`fuse_conv_bn_eval`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.func import functional_call, vmap
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..arrays import in_threads
from .evidence.representation import EVIDENCE, MAP_CHANNELS, SIDE
from .node import NodeClassifier

Key = tuple[str, int]  # name of a node, and which of its models


class Stacks:
    """The networks of all nodes (name to models), those of one backbone together. Nothing that is changed later counts.

    A backbone that cannot be run so, since what it does depends on what it reads, runs for each node by itself.
    """

    def __init__(self, nodes: Mapping[str, Sequence[NodeClassifier]]) -> None:
        alike: dict[tuple[str, int], list[Key]] = {}
        for name, members in nodes.items():
            for k, member in enumerate(members):
                alike.setdefault((member.settings.backbone, member.side), []).append((name, k))
        self._stacks = [(keys, _see_all([nodes[name][k] for name, k in keys])) for keys in alike.values()]
        self._counts = {name: len(members) for name, members in nodes.items()}

    def see(self, maps: Tensor, numbers: Tensor) -> dict[str, Tensor]:
        """What `NodeClassifier.see` of every model of each node returns: (M, B, HIDDEN)."""
        found: dict[Key, Tensor] = {}
        for keys, see in self._stacks:
            found |= zip(keys, see(maps, numbers), strict=True)
        return {name: torch.stack([found[name, k] for k in range(count)]) for name, count in self._counts.items()}


def _see_all(members: Sequence[NodeClassifier]) -> Callable[[Tensor, Tensor], Iterable[Tensor]]:
    """`NodeClassifier.see` of N networks with one backbone, to N results."""
    like = members[0].inner.weight
    try:
        stack = Stack(members)
        stack(like.new_zeros(1, MAP_CHANNELS, SIDE, SIDE), like.new_zeros(1, EVIDENCE))
    except (RuntimeError, TypeError, ValueError):
        return lambda maps, numbers: in_threads(lambda m: m.see(maps, numbers), members, maps.device)
    return stack


class Stack:
    """N networks with one backbone. Raises RuntimeError, TypeError or ValueError if they cannot run as one."""

    def __init__(self, members: Sequence[NodeClassifier]) -> None:
        self.side = members[0].side
        self.backbone, foldable = _plan(members[0].backbone)
        self._free: list[nn.Module] = []  # copies that no thread is using
        weights = [_weights(member.backbone, foldable) for member in members]
        self.weights = {name: torch.stack([some[name] for some in weights]) for name in weights[0]}
        self.inner = torch.stack([m.inner.weight.detach() for m in members]).mT
        self.bias = torch.stack([m.inner.bias.detach() for m in members])[:, None]

    def __call__(self, maps: Tensor, numbers: Tensor) -> Tensor:
        """(N, B, HIDDEN) from `maps` (B, MAP_CHANNELS, SIDE, SIDE) and `numbers` (B, EVIDENCE)."""
        planes = numbers[:, :, None, None].expand(-1, -1, *maps.shape[-2:])
        image = torch.cat([maps, planes], 1)
        if self.side != image.shape[-1]:
            image = F.interpolate(image, size=self.side, mode="nearest")
        # twice as fast on a processor as with the channels first
        image = image.contiguous(memory_format=torch.channels_last)

        def seen(cut: slice) -> Tensor:
            weights = {name: weight[cut] for name, weight in self.weights.items()}
            features = vmap(self._features, in_dims=(0, None))(weights, image)
            read = torch.cat([features, numbers.expand(len(features), -1, -1)], -1)
            return torch.baddbmm(self.bias[cut], read, self.inner[cut])

        count = len(self.inner)
        step = -(-count // torch.get_num_threads()) if image.device.type == "cpu" else count
        return torch.cat(in_threads(seen, [slice(k, k + step) for k in range(0, count, step)], image.device))

    def _features(self, weights: dict[str, Tensor], image: Tensor) -> Tensor:
        # a call puts its weights into the module, so threads must not share one
        try:
            backbone = self._free.pop()
        except IndexError:
            backbone = deepcopy(self.backbone)
        features: Tensor = functional_call(backbone, weights, (image,))
        self._free.append(backbone)
        return features


class _Conv(nn.Module):
    """A convolution that sees nothing but an image's only pixel, where it has one: a product of matrices is faster."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self.stride, self.padding, self.groups = conv.stride, conv.padding, conv.groups
        self.middle = (conv.kernel_size[0] // 2, conv.kernel_size[1] // 2)

    @staticmethod
    def suits(conv: nn.Module) -> bool:
        """Whether a module is a convolution centred on its pixels, of all channels or of each by itself."""
        return (
            isinstance(conv, nn.Conv2d)
            and (conv.groups == 1 or conv.groups == conv.in_channels == conv.out_channels)
            and conv.padding == tuple((k - 1) / 2 for k in conv.kernel_size)
            and conv.dilation == (1, 1)
            and conv.padding_mode == "zeros"
        )

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-2:] != (1, 1):
            return F.conv2d(x, self.weight, self.bias, self.stride, self.padding, groups=self.groups)
        centre, pixel = self.weight[..., self.middle[0], self.middle[1]], x.flatten(1)
        if self.groups == 1:
            return F.linear(pixel, centre, self.bias)[..., None, None]
        return (pixel * centre[:, 0] + (0.0 if self.bias is None else self.bias))[..., None, None]


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, nn.BatchNorm2d) or super().is_leaf_module(m, module_qualified_name)


def _plan(backbone: nn.Module) -> tuple[nn.Module, dict[str, str]]:
    """The backbone's operations without weights, and the normalisation that is folded into each convolution."""
    copy = deepcopy(backbone).to("meta").eval()
    made = fx.GraphModule(copy, _Tracer().trace(copy))
    foldable = {}
    for node in made.graph.nodes:
        before = node.args[0] if node.args else None
        if node.op != "call_module" or not isinstance(before, fx.Node) or before.op != "call_module":
            continue
        at, to = str(before.target), str(node.target)
        conv, norm = made.get_submodule(at), made.get_submodule(to)
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d) and len(before.users) == 1:
            foldable[at] = to
            conv.bias = nn.Parameter(torch.empty(conv.out_channels, device="meta"))  # what is folded into it
            rest = [part for part in (getattr(norm, "drop", None), getattr(norm, "act", None)) if part is not None]
            made.set_submodule(to, nn.Sequential(*rest))
    for name, module in list(made.named_modules()):
        if isinstance(module, nn.Conv2d) and _Conv.suits(module):
            made.set_submodule(name, _Conv(module))
    return made, foldable


def _weights(backbone: nn.Module, foldable: Mapping[str, str]) -> dict[str, Tensor]:
    """Parameters and statistics of a backbone by their names in `_plan`'s."""
    norms = tuple(f"{name}." for name in foldable.values())
    found = {name: value for name, value in backbone.state_dict().items() if not name.startswith(norms)}
    for at, to in foldable.items():
        conv, norm = backbone.get_submodule(at), backbone.get_submodule(to)
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        fused = fuse_conv_bn_eval(conv, norm)
        found |= {f"{at}.{name}": value for name, value in fused.state_dict().items()}
    return found
