"""Sums of an image times exp(-2 pi i q x) at any frequencies q: a non-uniform FFT.

The image is divided by the transform of a Kaiser-Bessel kernel, transformed on a grid half as fine again, and the
kernel's few grid values about each frequency are summed (Jackson, Meyer, Nishimura and Macovski, IEEE Trans. Med.
Imaging 10, 1991). The error is about 1e-5 of the image's sum of absolute values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

WIDTH = 6  # grid points of the kernel along each axis
OVERSAMPLING = 1.5
SPILL = WIDTH // 2  # columns that a kernel reaches beyond the half plane of a transform
BETA = torch.pi * (WIDTH**2 * (1 - 0.5 / OVERSAMPLING) ** 2 - 0.8) ** 0.5


def fast_length(n: int) -> int:
    """Least even length of at least `n` with no prime factor above 5."""
    m = n + n % 2
    while True:
        rest = m
        for p in (2, 3, 5):
            while rest % p == 0:
                rest //= p
        if rest == 1:
            return m
        m += 2


def _kernel(u: Tensor) -> Tensor:
    """Kaiser-Bessel kernel at distances `u` in grid points: the power series of I0, whose terms are all positive."""
    quarter = (BETA / 2) ** 2 * (1 - (2 * u / WIDTH) ** 2).clamp_min(0)
    kernel = torch.full_like(u, _SERIES[-1])
    for coefficient in _SERIES[-2::-1]:
        kernel = kernel.mul_(quarter).add_(coefficient)
    return kernel * (u.abs() < WIDTH / 2)


_SERIES = tuple(1 / math.factorial(k) ** 2 for k in range(20))


def _transform(k: Tensor) -> Tensor:
    """The kernel's Fourier transform at `k` cycles per grid point, below the first zero."""
    root = (BETA**2 - (torch.pi * WIDTH * k) ** 2).sqrt()
    transform: Tensor = WIDTH * torch.sinh(root) / root
    return transform


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _axis(n: int, device: torch.device) -> tuple[int, Tensor]:
    size = fast_length(int(OVERSAMPLING * n))
    return size, 1 / _transform((torch.arange(n, device=device) - n // 2) / size)


@dataclass(frozen=True)
class Nodes:
    """Where K frequencies a batch element lie on the grid of an image's transform, for `fourier_sums`.

    Grid points `index` (B, K, WIDTH**2) and their weights; `flipped` (B, K): the sum at -q is what is looked up, and
    conjugated; `shift` (B, K) complex moves the origin to the image's middle.
    """

    shape: tuple[int, int]
    index: Tensor
    weight: Tensor
    flipped: Tensor
    shift: Tensor


def nodes(shape: tuple[int, int], frequencies: Tensor) -> Nodes:
    """Nodes for `frequencies` (B, K, 2) cycles per px (x, y) of images of `shape` (H, W).

    Beyond 0.5 they stand for the frequency below it that pixels cannot distinguish from them.
    """
    H, W = shape
    sy, sx = (fast_length(int(OVERSAMPLING * n)) for n in shape)
    q = frequencies - frequencies.round()
    flipped = q[..., 0] < 0
    q = torch.where(flipped[..., None], -q, q)
    scaled = q * q.new_tensor([sx, sy])
    first = (scaled - (WIDTH - 1) / 2).round()
    at = first[..., None, :] + torch.arange(WIDTH, device=q.device)[:, None]
    weight = _kernel(at - scaled[..., None, :])
    columns, rows = at.long().unbind(-1)
    index = (rows % sy)[..., :, None] * (sx // 2 + 1 + 2 * SPILL) + (columns + SPILL)[..., None, :]
    weights = weight[..., 1][..., :, None] * weight[..., 0][..., None, :]
    middle = q.new_tensor([(W - 1) / 2 - W // 2, (H - 1) / 2 - H // 2])
    angle = 2 * torch.pi * (frequencies * middle).sum(-1)
    return Nodes(shape, index.flatten(2), weights.flatten(2), flipped, torch.polar(torch.ones_like(angle), angle))


def fourier_sums(images: Tensor, at: Nodes) -> Tensor:
    """Images (B or 1, C, H, W) at the frequencies of `nodes`: (B, C, K) complex.

    The origin is the image's middle, ``((W - 1) / 2, (H - 1) / 2)``.
    """
    return read(transforms(images), at)


def read(table: Tensor, at: Nodes) -> Tensor:
    """`fourier_sums` from the `transforms` of the images."""
    B, K, _ = at.index.shape
    index = at.index
    if len(table) > 1:
        index = index + table.shape[1] * torch.arange(B, device=index.device)[:, None, None]
    flat = F.embedding_bag(
        index.flatten(0, 1), table.flatten(0, 1), mode="sum", per_sample_weights=at.weight.flatten(0, 1)
    )
    sums = torch.view_as_complex(flat.reshape(B, K, -1, 2)).transpose(1, 2)
    result: Tensor = torch.where(at.flipped[:, None], sums.conj(), sums) * at.shift[:, None]
    return result


def transforms(images: Tensor) -> Tensor:
    """Transforms of images (B, C, H, W) on the finer grid, `SPILL` columns more on either side: (B, N, 2 C).

    Real and imaginary parts stand side by side.
    """
    *_, H, W = images.shape
    (sy, gy), (sx, gx) = (_axis(n, images.device) for n in (H, W))
    # pixel n // 2 goes to the grid's first point
    h, w = H // 2, W // 2
    placed = images.new_zeros(*images.shape[:2], sy, sx)
    scaled = images * gy[:, None] * gx
    for rows, to_rows in ((slice(h, H), slice(0, H - h)), (slice(0, h), slice(sy - h, sy))):
        placed[..., to_rows, : W - w] = scaled[..., rows, w:]
        placed[..., to_rows, sx - w :] = scaled[..., rows, :w]
    half = torch.fft.rfft2(placed).permute(0, 2, 3, 1)

    def mirrored(columns: Tensor) -> Tensor:
        return columns.flip(1, 2).roll(1, 1).conj().resolve_conj()

    wide = torch.cat([mirrored(half[:, :, 1 : SPILL + 1]), half, mirrored(half[:, :, -SPILL - 1 : -1])], 2)
    return torch.view_as_real(wide).flatten(3).flatten(1, 2)
