"""Tensor functions that `datasets` and `models` share. Imports nothing from `hier`.

Neither of the two may import the other, and `hierarchy`, which both may, needs no torch: hence this module beside them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

S = TypeVar("S")
T = TypeVar("T")
PIECE = 2**16  # px at a time, see `pieces`
SINGLE = frozenset({"mps"})  # devices without float64: Apple's GPU

if hasattr(os, "register_at_fork"):
    # a forked process has none of OpenMP's threads, for which its first operation would wait for ever
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


def finest(device: torch.device) -> torch.dtype:
    """The most precise floating type of a device: float64, on Apple's GPU float32."""
    return torch.float32 if device.type in SINGLE else torch.float64


def gaussian_blur(images: Tensor, sigma: float | Tensor, radius: int | None = None) -> Tensor:
    """Separable Gaussian blur of (B, C, H, W), continued by reflection.

    `sigma` px is one number or one for each image (B,). The kernel ends `radius` px from its middle, three `sigma` if
    None; a radius that depends on no other image keeps a blurred image independent of its batch.
    """
    if radius is None:
        radius = max(1, int(3 * float(torch.as_tensor(sigma).max()) + 0.5))
    x = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    width = sigma[:, None] if isinstance(sigma, Tensor) else sigma
    kernel = torch.exp(-0.5 * (x / width) ** 2)
    taps = (kernel / kernel.sum(-1, keepdim=True))[..., None, None, None].unbind(-4)  # each a number, or (B, 1, 1, 1)
    padded = F.pad(images, (radius, radius, radius, radius), mode="reflect")
    H, W = images.shape[-2:]
    # sums of shifted slices: several times faster on the CPU than a convolution of each channel
    rows = reduce(torch.add, (k * padded[..., i : i + W] for i, k in enumerate(taps)))
    return reduce(torch.add, (k * rows[..., i : i + H, :] for i, k in enumerate(taps)))


def pieces(images: Tensor) -> tuple[Tensor, ...]:
    """Images (B, C, H, W) whole; on the CPU a few at a time, which stay in its cache."""
    step = max(1, PIECE // (images.shape[-2] * images.shape[-1]))
    if images.device.type != "cpu" or len(images) <= step:
        return (images,)
    return tuple(torch.split(images, step))


def in_pieces(function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """What `function` makes of `pieces` of images (B, C, H, W), joined."""
    found = [function(some) for some in pieces(images)]
    return found[0] if len(found) == 1 else torch.cat(found)


def in_threads(function: Callable[[S], T], items: Sequence[S], device: torch.device) -> list[T]:
    """What `function` makes of each item, in order; on the CPU side by side, an item on every core that torch uses.

    For work made of many operations too small to be shared out among cores. Elsewhere, and for one item, it is a loop.
    """
    threads = min(torch.get_num_threads(), len(items)) if device.type == "cpu" else 1
    if threads <= 1:
        return [function(item) for item in items]
    whole, inference = torch.get_num_threads(), torch.is_inference_mode_enabled()

    def one(item: S) -> T:
        with torch.inference_mode(inference):
            return function(item)

    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(one, items))
    finally:
        torch.set_num_threads(whole)  # what threads started from now on have
