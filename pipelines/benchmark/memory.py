"""Will a row fit into memory? Measured on a batch of two, before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass

import psutil
import torch
from torch import Tensor, nn

from ...hierarchy import HierError
from ...models.systems import BUNDLED, LOSSES, MAPS, Sizes, System, build, centred_side
from ...models.systems.network import Part, parts_of
from .settings import Preset

SHARE = 0.85  # of the memory that is free, which a training may take
OVERHEAD = 1.5  # of what is kept for the backward pass: gradients and work space of the current layer
SEVERAL = 2  # images of the trial


@dataclass(frozen=True)
class Need:
    """Bytes: `fixed` for weights, gradients and the optimiser, `image` for each image of a batch."""

    fixed: float
    image: float

    def of(self, batch: int) -> float:
        """Bytes of a training step."""
        return self.fixed + batch * self.image


def need_of(system: System, sizes: Sizes, part: Part) -> Need:
    """Measured on the CPU: what autograd keeps of a forward pass, counted once however often it is kept.

    In full precision; mixed precision needs less.
    """
    network = build(system, sizes, part)
    loss: nn.Module = LOSSES[system.loss](network.width)
    side = centred_side(sizes.side) if system.centred else sizes.side
    own = {p.untyped_storage().data_ptr() for p in network.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    network.train()
    targets = part.answers[:1].clamp_min(0).expand(SEVERAL, -1)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        value, _ = loss(network, torch.rand(SEVERAL, 3, side, side), targets)
    image = OVERHEAD * sum(kept.values()) / SEVERAL
    del value
    weights = sum(p.numel() * p.element_size() for p in [*network.parameters(), *loss.parameters()])
    return Need(4.0 * weights, image)


def free_memory(device: str) -> float:
    """Bytes free for a training on `device`; a GPU that is not CUDA shares the memory of the processor."""
    if device.startswith("cuda"):
        return float(torch.cuda.mem_get_info(device)[0])
    return float(psutil.virtual_memory().available)


def check_memory(
    systems: dict[str, System], preset: Preset, sizes: Sizes, plans: dict[str, object], free: float | None
) -> dict[str, Need]:
    """What every row of pixels needs. HierError before anything starts, with the batch that would fit."""
    needs: dict[str, Need] = {}
    for name, system in systems.items():
        if system.representation in (MAPS, BUNDLED):
            continue  # 16 x 16 maps through a small network: less than any other row
        plan = plans[system.tree or preset.tree]
        needs[name] = need_of(system, sizes, parts_of(system.questions, plan)[0])  # type: ignore[arg-type]
    if free is None:
        return needs
    room = SHARE * free
    over = {name: need for name, need in needs.items() if need.of(preset.batch) > room}
    if over:
        worst = max(over, key=lambda name: over[name].of(preset.batch))
        batch = min(int((room - need.fixed) / need.image) for need in over.values())
        advice = f"batch: {batch} fits" if batch >= 4 else "not even a batch of 4 fits: make images or networks smaller"
        wanted, offered = over[worst].of(preset.batch) / 1e9, room / 1e9
        raise HierError(
            f"preset {preset.name!r} does not fit into memory: {worst} needs {wanted:.1f} GB at batch {preset.batch}, "
            f"{offered:.1f} GB can be used ({len(over)} of {len(needs)} rows are too large); {advice} "
            f"(`hier benchmark --preset {preset.name} --show` prints the preset to copy; --only leaves rows out)"
        )
    return needs
